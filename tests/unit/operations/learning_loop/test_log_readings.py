"""What the loop reads of a canary, however long it is."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from beast_ml.logs.store import LogStore
from beast_ml.operations.learning_loop import log_readings
from beast_ml.operations.learning_loop.log_readings import compared_in, count_new, shadowed_in
from beast_ml.testing.costly_logs import COSTLY_START, costly_log

HALF = COSTLY_START + timedelta(days=2)


def apart(served):
    """Tell that the two decide differently, and that nothing is expected of either."""
    n = len(served.prompts)
    return np.ones(n), np.zeros(n)


def canary(folder, days: int) -> LogStore:
    """Return a log of a canary that is better in the first two days and worse after them, and begins to fail then."""

    def serve(row):
        is_candidate, late = int(row["request_id"][1:]) % 2 == 0, row["received_at"] >= HALF
        row |= {"experiment_id": "it's on", "variant": "candidate" if is_candidate else "control", "user_id": None}
        row |= {"prompt": f"What is {row['request_id']}?", "chosen_model": "large", "propensity": 0.5}
        row |= {"status": "ok", "served_model": "large", "error_kind": None, "attempts": []}
        if row["quality"] is not None:
            row["quality"] = float(is_candidate != late)
        if is_candidate and late:
            row |= {"status": "error", "served_model": None, "quality": None, "error_kind": "provider"}

    return costly_log(folder, days, per_day=500, change=serve)


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> LogStore:
    return canary(tmp_path_factory.mktemp("long") / "log", 4)


def test_of_a_long_canary_the_first_labelled_requests_are_compared_and_all_errors(long, tmp_path, monkeypatch):
    n_labelled = long.count(until=HALF, where="quality IS NOT NULL")
    until_then = compared_in(canary(tmp_path / "log", 2), "it's on", "candidate", "control", apart)
    assert until_then.effect == pytest.approx(1.0)
    assert until_then.harm is None
    monkeypatch.setattr(log_readings, "_MOST_COMPARED", n_labelled)
    read = []

    def counted(served):
        read.append(len(served.prompts))
        return apart(served)

    found = compared_in(long, "it's on", "candidate", "control", counted)
    assert read == [n_labelled]
    assert (found.effect, found.low, found.high) == (until_then.effect, until_then.low, until_then.high)
    assert (found.n_candidate, found.n_other) == (until_then.n_candidate, until_then.n_other)
    assert found.harm is not None


def test_without_a_bound_in_reach_all_labelled_requests_are_compared(long):
    found = compared_in(long, "it's on", "candidate", "control", apart)
    assert found.n_candidate + found.n_other == long.count(where="quality IS NOT NULL")
    assert found.effect < 1.0


def test_of_an_experiment_that_nobody_served_yet_nothing_is_told(long):
    found = compared_in(long, "another", "candidate", "control", apart)
    assert (found.n_candidate, found.n_other, found.low, found.harm) == (0, 0, -np.inf, None)


def test_labelled_requests_of_other_policies_are_counted_apart_by_policy(tmp_path):
    def decide(row):
        row["policy_version"] = ("ours", "theirs", None)[int(row["request_id"][1:]) % 3]
        row["quality"] = 0.5

    store = costly_log(tmp_path / "log", 1, per_day=300, change=decide)
    until = COSTLY_START + timedelta(days=2)
    found = count_new(store, None, until, until, "ours")
    assert found.n_labelled == 100
    assert dict(found.labelled_of_others) == {"": 100, "theirs": 100}
    assert count_new(store, None, until, until, None).labelled_of_others == {}


def test_a_candidate_that_never_decides_was_asked_once_it_should_have_been_loaded(tmp_path):
    def choose(row):
        row |= {"chosen_model": "large", "propensity": 1.0, "context": {}}

    store = costly_log(tmp_path / "log", 1, per_day=500, change=choose)
    seen = shadowed_in(store, COSTLY_START, "never loaded")
    n_late = store.count(since=COSTLY_START + timedelta(minutes=10))
    assert (seen.n_asked, seen.n_decided) == (n_late, 0)
    assert 0 < n_late < 500
