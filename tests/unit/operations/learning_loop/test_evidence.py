"""What the loop makes of drift, of gates that did not pass, and of units on live requests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from beast_ml.operations.drift.advice import Finding, find_causes
from beast_ml.operations.drift.monitor import Alarm, DriftMonitor
from beast_ml.operations.drift.signals import StreamKey
from beast_ml.operations.learning_loop.compare import compare_units, share_apart, telling, told_apart
from beast_ml.operations.learning_loop.drifted import changed_since, learn_because, stale_since
from beast_ml.operations.learning_loop.promise import is_promising
from beast_ml.registry.evidence import Interval
from beast_ml.registry.gates import Gates, judge
from beast_ml.testing.drifting_logs import LOG_START, drifting_rows
from beast_ml.testing.registry import make_evidence

DROPPED = LOG_START + timedelta(days=18)


@pytest.fixture(scope="module")
def dropped() -> tuple[Finding, ...]:
    monitor = DriftMonitor()
    for row in drifting_rows(np.random.default_rng(0), drop=0.4, days=26):
        monitor.update(row)
    return find_causes(monitor.alarms.values(), {"model-0", "model-1"})


def test_a_model_that_changed_begins_a_cycle_and_makes_older_outcomes_untrue(dropped):
    assert learn_because(dropped, None) == changed_since(dropped, DROPPED)
    assert "model-0 answers worse" in learn_because(dropped, DROPPED)[0]
    assert learn_because(dropped, DROPPED + timedelta(days=30)) == ()
    (model, since), *others = stale_since(dropped).items()
    assert (model, others) == ("model-0", [])
    assert DROPPED - timedelta(days=1) < since < DROPPED + timedelta(days=2)


def test_requests_that_changed_call_for_nothing():
    at = datetime(2026, 1, 1, tzinfo=UTC)
    found = find_causes([Alarm(StreamKey("request mix", "", "", ""), at, at, None)], {"model-0"})
    assert learn_because(found, None) == ()
    assert stale_since(found) == {}


def promising(**changes: object) -> bool:
    evidence = make_evidence(**{"cost_saving": None, "quality_gain": Interval(0.01, -0.05, 0.07), **changes})
    report = judge(evidence, Gates())
    assert not report.passed
    return is_promising(evidence, report)


def test_what_is_estimated_to_be_better_or_cannot_be_estimated_is_promising_and_what_is_unsound_is_not():
    assert promising()
    assert not promising(quality_gain=Interval(-0.01, -0.05, 0.03))
    assert promising(quality_gain=Interval(-0.01, -0.05, 0.03), n_test_queries=20)
    assert not promising(quality_gain=Interval(-0.05, -0.09, -0.01), n_test_queries=20)
    assert not promising(quality_ece=0.2)


def test_few_units_tell_nothing_and_many_tell_the_effect():
    rng = np.random.default_rng(1)
    few = compare_units(rng.random(99), rng.random(500))
    assert (few.low, few.high) == (-np.inf, np.inf)
    nobody = compare_units(rng.random(0), rng.random(500))
    assert (nobody.n_candidate, nobody.low) == (0, -np.inf)
    told = compare_units(rng.random(4_000) + 0.1, rng.random(4_000))
    assert 0.0 < told.low < 0.1 < told.high


def test_requests_that_both_decide_alike_are_no_noise():
    rng = np.random.default_rng(2)
    n, effect = 3_000, 0.3
    differ = rng.random(2 * n) < 0.1
    arm = rng.random(2 * n) < 0.5
    right = (rng.random(2 * n) < 0.5 + effect * (differ & arm)).astype(float)
    told = telling(right, 0.5, differ)
    plain, sharp = (compare_units(values[arm], values[~arm]) for values in (right, told))
    assert sharp.low < 0.1 * effect < sharp.high
    assert sharp.high - sharp.low < 0.5 * (plain.high - plain.low)


def test_of_policies_that_explore_only_what_is_apart_counts_and_the_effect_is_kept():
    rng = np.random.default_rng(3)
    n, m = 40_000, 3
    quality = rng.random((n, m))
    mine, theirs = (rng.dirichlet((6.0, 1.0, 0.5), n) for _ in range(2))
    by_mine = rng.random(n) < 0.3
    own, other = (np.where(by_mine[:, None], *each) for each in ((mine, theirs), (theirs, mine)))
    chosen = (own.cumsum(axis=1) < rng.random(n)[:, None]).sum(axis=1)
    rows = np.arange(n)
    outcome = (rng.random(n) < quality[rows, chosen]).astype(float)
    p, q = own[rows, chosen], other[rows, chosen]
    told = telling(outcome, (theirs * quality).sum(axis=1), share_apart(p, q, p))
    effect = float(((mine - theirs) * quality).sum(axis=1).mean())
    found = told[by_mine].mean() - told[~by_mine].mean()
    error = np.sqrt(told[by_mine].var() / by_mine.sum() + told[~by_mine].var() / (~by_mine).sum())
    plain = np.sqrt(outcome[by_mine].var() / by_mine.sum() + outcome[~by_mine].var() / (~by_mine).sum())
    assert abs(found - effect) < 3.5 * error
    assert error < 0.5 * plain


def test_a_choice_that_is_not_what_its_policy_would_have_made_counts_in_full():
    own, other = np.array([0.5, 0.0, 0.5]), np.array([0.5, 0.5, 0.5])
    assert share_apart(own, other, np.array([1.0, 1.0, np.nan])).tolist() == [1.0, 1.0, 1.0]


def test_where_one_policy_is_not_as_it_is_thought_to_be_two_equal_ones_are_not_told_apart():
    rng = np.random.default_rng(4)
    n = 20_000
    by_mine = rng.random(n) < 0.3
    outcome = (rng.random(n) < 0.8).astype(float)  # whoever answers
    # Both always choose the first model. Of mine it is thought that it takes the other one, on a tenth of the requests.
    differ = rng.random(n) < 0.1
    own = np.where(by_mine & differ, 0.0, 1.0)
    other = np.where(~by_mine & differ, 0.0, 1.0)
    logged, expected = np.ones(n), 0.5  # theirs expects too little of itself
    told = telling(outcome, expected, told_apart(own, other, logged, by_mine, differ))
    error = np.sqrt(told[by_mine].var() / by_mine.sum() + told[~by_mine].var() / (~by_mine).sum())
    assert abs(told[by_mine].mean() - told[~by_mine].mean()) < 3.5 * error
    # Thought to be alike, and not so: outcomes of mine would stand against nothing of theirs.
    own, other, differ = np.where(by_mine, 0.0, 1.0), np.ones(n), np.zeros(n, dtype=bool)
    assert share_apart(own, other, logged)[by_mine].all()
    assert not told_apart(own, other, logged, by_mine, differ).any()


def test_a_few_choices_that_are_not_as_thought_change_nothing_else():
    own, logged, by_mine = np.ones(2_000), np.ones(2_000), np.arange(2_000) % 2 == 0
    own[:10] = 0.0
    other = np.full(2_000, 0.25)
    told = told_apart(own, other, logged, by_mine, np.zeros(2_000, dtype=bool))
    assert told.tolist() == [1.0] * 10 + [0.75] * 1_990
