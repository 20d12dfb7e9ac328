from datetime import timedelta

import msgspec
import numpy as np
import pytest

from beast_ml.errors import DataError, InputError
from beast_ml.experiments.analysis import analyze
from beast_ml.experiments.definitions import SharesSince
from beast_ml.experiments.experiments_file import Experiments
from beast_ml.experiments.log_metrics import observe, shares_now
from beast_ml.logs.store import LogStore
from beast_ml.testing.experiment_logs import BEGAN, experiment_of, experiment_store
from beast_ml.testing.experiments import NOW

TRIAL = experiment_of()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    quality, errors = {"control": 0.5, "new": 0.58}, {"control": 0.02, "new": 0.2}
    return experiment_store(tmp_path_factory.mktemp("log"), TRIAL, 4_000, quality, errors)


def test_quality_is_compared_by_user_on_the_requests_that_have_it(store):
    observed = observe(store, TRIAL, "quality", NOW)
    assert len(np.unique(observed.unit)) < 1_001
    assert any("requests have no quality" in note for note in observed.notes)
    analysis = analyze(observed, "quality", shares=shares_now(TRIAL))
    (new,) = analysis.comparisons
    assert new.low < 0.08 < new.high
    assert new.low > 0
    assert not analysis.mismatch.found
    assert analysis.looked_at[0] >= np.datetime64(BEGAN.replace(tzinfo=None))


def test_a_users_past_tightens_the_interval(store):
    alone = analyze(observe(store, TRIAL, "quality", NOW)).comparisons[0]
    adjusted = analyze(observe(store, TRIAL, "quality", NOW, ("before",))).comparisons[0]
    assert adjusted.variance_reduction > 0.3
    assert adjusted.high - adjusted.low < alone.high - alone.low


def test_errors_are_counted_of_all_that_were_answered_or_failed(store):
    analysis = analyze(observe(store, TRIAL, "errors", NOW))
    assert analysis.control == pytest.approx(0.02, abs=0.01)
    assert analysis.comparisons[0].effect == pytest.approx(0.18, abs=0.03)


def test_what_the_log_cannot_tell_is_said(store, tmp_path):
    with pytest.raises(InputError, match="must be one of quality"):
        observe(store, TRIAL, "joy", NOW)
    with pytest.raises(InputError, match="only 'before'"):
        observe(store, TRIAL, "quality", NOW, ("predicted_quality",))
    with pytest.raises(DataError, match="has a feedback yet"):
        observe(store, TRIAL, "feedback", NOW)
    with pytest.raises(DataError, match="no request of experiment 'other'"):
        observe(store, msgspec.structs.replace(TRIAL, id="other"), "quality", NOW)
    with pytest.raises(DataError, match="no request of experiment"):
        observe(LogStore(tmp_path / "empty"), TRIAL, "quality", NOW)


def test_requests_count_for_one_over_the_share_of_their_time(store):
    middle = BEGAN + timedelta(minutes=2_000)
    history = (
        SharesSince(at=BEGAN, shares={"control": 0.9, "new": 0.1}),
        SharesSince(at=middle, shares={"control": 0.5, "new": 0.5}),
    )
    changed = msgspec.structs.replace(TRIAL, history=history)
    assert shares_now(changed) == {}
    observed = observe(store, changed, "latency", NOW)
    late = observed.observed_at >= np.datetime64(middle.replace(tzinfo=None))
    of_new = observed.variant == 1
    assert observed.weight[of_new & late][0] / observed.weight[of_new & ~late][0] == pytest.approx(0.2)
    assert observed.weight[~of_new & late][0] / observed.weight[~of_new & ~late][0] == pytest.approx(1.8)


def test_a_stop_is_no_change_of_shares(store):
    history = (
        SharesSince(at=BEGAN, shares={"control": 0.5, "new": 0.5}),
        SharesSince(at=BEGAN + timedelta(minutes=5_000), shares={}),
    )
    stopped = msgspec.structs.replace(TRIAL, history=history, status="stopped")
    assert shares_now(stopped) == {"control": 0.5, "new": 0.5}
    assert (observe(store, stopped, "latency", NOW).weight == 1.0).all()


def test_requests_of_a_variant_without_a_share_are_left_out(store):
    history = (
        SharesSince(at=BEGAN, shares={"control": 0.5, "new": 0.5}),
        SharesSince(at=BEGAN + timedelta(minutes=2_000), shares={"control": 0.5, "new": 0.0}),
    )
    observed = observe(store, msgspec.structs.replace(TRIAL, history=history), "latency", NOW)
    assert observed.excluded["its variant had no share then"] > 500
    mismatch = analyze(observed).mismatch
    assert not mismatch.found
    assert mismatch.expected == (0.5, 0.5)


def test_units_that_are_not_divided_as_meant_are_found_after_a_ramp_up_too(store):
    history = (
        SharesSince(at=BEGAN, shares={"control": 0.9, "new": 0.1}),
        SharesSince(at=BEGAN + timedelta(minutes=2_000), shares={"control": 0.5, "new": 0.5}),
    )
    mismatch = analyze(observe(store, msgspec.structs.replace(TRIAL, history=history), "latency", NOW)).mismatch
    assert mismatch.found
    assert mismatch.observed[1] > 0.4


@pytest.mark.parametrize("unit", ["user", "request"])
def test_a_variant_that_grows_onto_units_that_came_before_is_no_mismatch(tmp_path, unit):
    middle = BEGAN + timedelta(minutes=2_000)
    small = Experiments().put(experiment_of(unit=unit).with_shares({"new": 0.1}), BEGAN)
    grown = small.put(small.experiments[0].with_shares({"new": 0.5}), middle).experiments[0]
    alike = {"control": 0.5, "new": 0.5}
    store = experiment_store(tmp_path, small.experiments[0], 4_000, alike, dict.fromkeys(alike, 0.0), ramped=grown)
    observed = observe(store, grown, "latency", NOW)
    mismatch = analyze(observed).mismatch
    assert not mismatch.found
    assert sum(mismatch.expected) == pytest.approx(1.0)
    n_silent = np.isnan(observed.meant).any(axis=1).sum()
    assert n_silent > 500 if unit == "user" else n_silent == 1  # the one that came at the very moment of the change


def test_where_no_unit_can_tell_how_units_are_divided_that_is_said(tmp_path):
    history = (
        SharesSince(at=BEGAN - timedelta(days=2), shares={"control": 0.4, "new": 0.6}),
        SharesSince(at=BEGAN - timedelta(seconds=1), shares={"control": 0.5, "new": 0.5}),
    )
    alike = {"control": 0.5, "new": 0.5}
    store = experiment_store(tmp_path, TRIAL, 80, alike, dict.fromkeys(alike, 0.0), seed=1)
    observed = observe(store, msgspec.structs.replace(TRIAL, history=history), "latency", NOW)
    assert any("was not checked" in note for note in observed.notes)
    assert analyze(observed).mismatch is None
