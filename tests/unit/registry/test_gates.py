import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.errors import SettingsError
from beast_ml.registry.evidence import Interval
from beast_ml.registry.gates import Gates, judge
from beast_ml.settings import GateSettings
from beast_ml.testing.registry import make_evidence

shares = st.floats(0, 1)
changes = st.floats(-1, 1)


@st.composite
def intervals(draw):
    low, mean, high = sorted(draw(st.tuples(changes, changes, changes)))
    return Interval(mean, low, high)


evidences = st.builds(
    make_evidence,
    quality_gain=intervals(),
    cost_saving=st.none() | intervals(),
    quality_ece=shares,
    quality_ece_floor=shares,
    cost_coverage=st.none() | shares,
    n_test_queries=st.integers(0, 5_000),
)
gates = st.builds(
    Gates,
    quality_margin=shares,
    max_excess_ece=shares,
    min_coverage=st.floats(0, 0.9),
    max_coverage=st.floats(0.9, 1),
    min_test_queries=st.integers(1, 3_000),
)


def failed(**changes):
    return [check.name for check in judge(make_evidence(**changes), Gates()).checks if not check.passed]


def test_as_good_and_cheaper_passes():
    report = judge(make_evidence(), Gates())
    assert report.passed
    assert report.failures() == ""


def test_better_passes_at_any_cost():
    better = Interval(0.05, 0.001, 0.1)
    assert failed(quality_gain=better, cost_saving=Interval(-2.0, -3.0, -1.0)) == []
    assert failed(quality_gain=better, cost_saving=None, cost_coverage=None) == []


@pytest.mark.parametrize("low", [-0.01, -0.02])
def test_cheaper_but_maybe_worse_by_the_margin_fails(low):
    assert failed(quality_gain=Interval(0.0, low, 0.02)) == ["pays"]


@pytest.mark.parametrize("low", [0.0, -0.1])
def test_as_good_but_not_surely_cheaper_fails(low):
    assert failed(cost_saving=Interval(0.1, low, 0.3)) == ["pays"]


def test_the_best_single_model_itself_does_not_pass():
    zero = Interval(0.0, 0.0, 0.0)
    assert failed(quality_gain=zero, cost_saving=zero) == ["pays"]


def test_only_calibration_error_beyond_the_sampling_floor_counts():
    assert failed(quality_ece=0.20, quality_ece_floor=0.18) == []
    assert failed(quality_ece=0.20, quality_ece_floor=0.10) == ["calibrated"]


@pytest.mark.parametrize("coverage", [0.5, 1.0])
def test_cost_intervals_too_narrow_or_too_wide_fail(coverage):
    assert failed(cost_coverage=coverage) == ["covered"]


def test_too_few_test_queries_fail():
    assert failed(n_test_queries=199) == ["enough data"]
    assert failed(n_test_queries=200) == []


def test_failures_say_what_was_got_and_needed():
    report = judge(make_evidence(n_test_queries=50, cost_coverage=0.5), Gates())
    assert report.failures() == (
        "covered: got 50.0% inside, needed 80% to 98%; enough data: got 50 test queries, needed >= 200"
    )


def test_from_a_log_the_reference_is_named():
    report = judge(make_evidence(source="log", reference="logging_policy"), Gates())
    assert "the policy that wrote the log" in report.checks[0].why


@given(evidences, gates, st.floats(0, 1))
def test_more_gain_never_turns_a_pass_into_a_failure(evidence, thresholds, extra):
    gain = evidence.quality_gain
    more = msgspec.structs.replace(
        evidence, quality_gain=Interval(gain.mean + extra, gain.low + extra, gain.high + extra)
    )
    assert judge(more, thresholds).passed >= judge(evidence, thresholds).passed


@given(evidences, gates, st.floats(0, 1))
def test_more_saving_never_turns_a_pass_into_a_failure(evidence, thresholds, extra):
    saving = evidence.cost_saving
    if saving is None:
        return
    more = msgspec.structs.replace(
        evidence, cost_saving=Interval(saving.mean + extra, saving.low + extra, saving.high + extra)
    )
    assert judge(more, thresholds).passed >= judge(evidence, thresholds).passed


@given(evidences, gates, st.integers(0, 1_000))
def test_more_data_never_turns_a_pass_into_a_failure(evidence, thresholds, extra):
    more = msgspec.structs.replace(evidence, n_test_queries=evidence.n_test_queries + extra)
    assert judge(more, thresholds).passed >= judge(evidence, thresholds).passed


@given(evidences, gates)
def test_what_passes_is_never_surely_worse_than_the_margin(evidence, thresholds):
    report = judge(evidence, thresholds)
    if report.passed:
        assert evidence.quality_gain.low > -thresholds.quality_margin or evidence.quality_gain.low > 0
    assert report.passed == (report.failures() == "")


@pytest.mark.parametrize(
    "threshold",
    [
        {"quality_margin": -0.1},
        {"max_excess_ece": 2.0},
        {"min_coverage": 0.99},
        {"max_coverage": float("nan")},
        {"min_test_queries": 0},
    ],
)
def test_thresholds_out_of_range_are_refused(threshold):
    with pytest.raises(SettingsError, match=next(iter(threshold))):
        Gates(**threshold)


def test_settings_have_the_same_defaults():
    assert Gates(**GateSettings().model_dump()) == Gates()
