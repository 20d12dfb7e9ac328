"""A stream is remembered in bounded memory, and its change is dated."""

from __future__ import annotations

import json

import numpy as np
import pytest

from beast_ml.operations.drift.history import History


@pytest.mark.parametrize("n", [3, 127, 129, 1_000, 20_000])
def test_sums_are_those_of_all_rows_however_many_blocks_were_merged(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n)
    history = History()
    for i, value in enumerate(values):
        history.add(float(i), float(value))
    blocks = history.means()
    assert len(history) == n
    assert len(blocks) <= 128
    assert sum(mean * rows for _, mean, rows in blocks) == pytest.approx(values.sum())
    assert json.loads(json.dumps(history.state())) == History.from_state(history.state()).state()


@pytest.mark.parametrize("usual", [None, 0.0])
def test_a_change_is_dated_within_the_resolution(usual: float | None) -> None:
    rng, history = np.random.default_rng(0), History(usual)
    for i in range(5_000):
        history.add(float(i), float(rng.normal(1.0 if i >= 3_300 else 0.0)))
    change = history.change()
    assert change.earliest_s <= 3_300 <= change.latest_s
    assert change.latest_s - change.earliest_s < 400
    assert change.low < 1.0 < change.high
    assert change.n_before + change.n_after == 5_000


def test_what_was_never_as_expected_has_changed_before_the_first_row() -> None:
    rng, history = np.random.default_rng(0), History(0.0)
    for i in range(500):
        history.add(float(i), float(rng.normal(0.5, 0.2)))
    change = history.change()
    assert change.at_s == 0.0
    assert change.n_before == 0
    assert change.before == 0.0


def test_too_little_is_not_dated() -> None:
    history = History()
    history.add(0.0, 1.0)
    history.add(1.0, 0.0)
    assert history.change() is None
