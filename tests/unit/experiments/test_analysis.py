from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from beast_ml.errors import DataError, InputError
from beast_ml.experiments.analysis import analyze
from beast_ml.experiments.observations import Observations
from beast_ml.experiments.sequential_test import SequentialConfig
from beast_ml.experiments.verdict import reach_verdict
from beast_ml.testing.experiments import NOW, observations


def test_a_real_difference_is_found_with_an_interval_about_it():
    analysis = analyze(observations(effects={"new": 0.3}), "quality", shares={"control": 0.5, "new": 0.5})
    (new,) = analysis.comparisons
    assert new.low < new.effect < new.high
    assert new.low < 0.3 < new.high
    assert new.low > 0
    assert new.p_value < 1e-6
    assert analysis.stopped_at == new.found_at
    assert not analysis.mismatch.found
    verdict = reach_verdict(analysis)
    assert (verdict.decision, verdict.variant) == ("ship", "new")
    assert reach_verdict(analysis, lower_is_better=True).decision == "keep control"
    assert reach_verdict(analysis, harmed={"new": "slow"}).decision == "keep control"


def test_the_stop_is_the_first_look_that_excludes_nothing_found_later():
    whole = observations(effects={"new": 0.3})
    stopped_at = analyze(whole).stopped_at
    kept = whole.observed_at <= np.datetime64(stopped_at.replace(tzinfo=None), "us")
    until = Observations(
        whole.variants,
        whole.variant[kept],
        whole.unit[kept],
        whole.values[kept],
        whole.observed_at[kept],
        whole.weight[kept],
    )
    assert analyze(until).stopped_at == stopped_at
    before = Observations(
        whole.variants,
        until.variant[:-1],
        until.unit[:-1],
        until.values[:-1],
        until.observed_at[:-1],
        until.weight[:-1],
    )
    assert analyze(before).stopped_at is None


def test_values_far_from_zero_give_the_same_effect():
    near, far = observations(effects={"new": 0.3}), observations(effects={"new": 0.3}, origin=1e7)
    one, other = analyze(near).comparisons[0], analyze(far).comparisons[0]
    assert one.effect == pytest.approx(other.effect, abs=1e-6)
    assert one.low == pytest.approx(other.low, abs=1e-6)


def test_no_difference_goes_on_until_it_cannot_be_worth_it():
    analysis = analyze(observations(effects={"new": 0.0}))
    assert analysis.stopped_at is None
    verdict = reach_verdict(analysis)
    assert verdict.decision == "keep running"
    assert "'new' may be better or worse" in verdict.sentence
    assert reach_verdict(analysis, worth=1.0).decision == "keep control"


def test_too_few_units_claim_nothing():
    analysis = analyze(observations(n=20, effects={"new": 50.0}))
    (new,) = analysis.comparisons
    assert (new.p_value, new.low, new.high) == (1.0, None, None)
    assert new.effect == pytest.approx(50.0, abs=2.0)
    assert "too few units" in reach_verdict(analysis).sentence


@pytest.mark.parametrize("rate", [1.0, 0.99])
def test_a_variant_that_always_fails_is_found_at_once(rate):
    data = observations(n=400)
    failed = (data.variant == 1) & (np.random.default_rng(0).random(400) < rate)
    data.values[:, 0] = failed
    (new,) = analyze(data, "errors").comparisons
    assert new.p_value < 1e-6
    assert new.low > 0.5
    assert new.found_at < datetime(2026, 3, 1, 3, tzinfo=UTC)  # a minute a unit


def test_values_that_are_all_alike_show_nothing():
    data = observations(n=400)
    data.values[:, 0] = 1.0
    (new,) = analyze(data).comparisons
    assert (new.effect, new.p_value) == (0.0, 1.0)


@pytest.mark.parametrize("rows_of_a_unit", [1, 3])
@pytest.mark.parametrize("usual", [0.0, 0.1, 1e6])
def test_before_the_first_event_nothing_is_claimed(usual, rows_of_a_unit):
    data = observations(n=600)
    data = replace(data, unit=data.unit // rows_of_a_unit, variant=data.variant[data.unit // rows_of_a_unit])
    data.values[:, 0] = usual
    data.values[-3:, 0] += 1.0  # so that the mean of all is not what the units have
    (new,) = analyze(data).comparisons
    assert (new.p_value, new.path.start, new.novelty.found) == (1.0, None, False)


def test_a_covariate_that_is_always_the_same_is_no_reason_to_refuse():
    data, without = observations(covariate=0.5, effects={"new": 0.3}), observations(effects={"new": 0.3})
    data.values[:, 0], data.values[:, 1] = without.values[:, 0], 0.1
    one, other = (analyze(each).comparisons[0] for each in (data, without))
    assert one.variance_reduction == 0.0
    assert one.low == pytest.approx(other.low, abs=1e-3)


def test_a_wrong_division_of_units_answers_nothing():
    analysis = analyze(observations(effects={"new": 0.3}), shares={"control": 0.8, "new": 0.2})
    assert analysis.mismatch.found
    verdict = reach_verdict(analysis)
    assert not verdict.trusted
    assert verdict.decision == "keep control"
    with pytest.raises(InputError, match="no share of 'new'"):
        analyze(observations(), shares={"control": 1.0})


def test_an_effect_that_fades_is_told():
    data = observations(n=6000, effects={"new": 1.0})
    late = (np.arange(len(data)) > 3000) & (data.variant == 1)
    data.values[late, 0] -= 1.0
    analysis = analyze(data)
    (new,) = analysis.comparisons
    assert new.novelty.found
    assert new.novelty.effects[0] == pytest.approx(1.0, abs=0.3)
    assert new.novelty.effects[-1] == pytest.approx(0.0, abs=0.3)
    assert any("changes with time" in reason for reason in reach_verdict(analysis).reasons)


def test_a_covariate_tightens_the_interval():
    data = observations(effects={"new": 0.1}, covariate=0.9)
    plain = Observations(data.variants, data.variant, data.unit, data.values[:, :1], data.observed_at, data.weight)
    adjusted, alone = analyze(data).comparisons[0], analyze(plain).comparisons[0]
    assert adjusted.variance_reduction == pytest.approx(0.81, abs=0.05)
    assert adjusted.high - adjusted.low < 0.6 * (alone.high - alone.low)


def test_a_covariate_that_the_variant_acts_on_is_refused():
    data = observations(effects={"new": 0.1}, covariate=0.9)
    data.values[data.variant == 1, 1] += 0.5
    with pytest.raises(DataError, match="would hide the effect"):
        analyze(data)


def test_a_silent_variant_is_reported_and_hinders_nobody():
    table = pa.table(
        {
            "unit_id": [f"u{i}" for i in range(200)],
            "variant": ["control", "new"] * 100,
            "value": np.arange(200.0) % 7,
            "observed_at": np.datetime64("2026-03-01", "us") + np.arange(200) * np.timedelta64(1, "m"),
        }
    )
    analysis = analyze(Observations.from_table(table, NOW, variants=("control", "new", "silent")))
    silent = analysis.comparisons[-1]
    assert (silent.name, silent.n_units, silent.effect, silent.p_value) == ("silent", 0, None, 1.0)
    assert analysis.to_dict()["variants"]["silent"]["value"] is None
    assert any("nothing usable" in reason for reason in reach_verdict(analysis).reasons)


def test_units_of_a_share_that_grew_while_all_became_better_do_not_look_better():
    rng = np.random.default_rng(2)
    n = 8000
    late = np.arange(n) >= n // 2
    share = np.where(late, 0.5, 0.1)
    variant = (rng.random(n) < share).astype(np.intp)
    values = (rng.normal(size=n) + 2.0 * late)[:, None]
    times = np.datetime64("2026-03-01", "us") + np.arange(n) * np.timedelta64(1, "m")
    weight = 1.0 / np.where(variant == 1, share, 1.0 - share)
    naive = Observations(("control", "new"), variant, np.arange(n), values, times, np.ones(n))
    weighted = Observations(("control", "new"), variant, np.arange(n), values, times, weight)
    assert analyze(naive).comparisons[0].effect > 0.5
    assert abs(analyze(weighted).comparisons[0].effect) < 0.1
    assert analyze(weighted).stopped_at is None


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"alpha": 1.0}, {"planned_units": 1}])
def test_a_test_that_cannot_be_is_refused(wrong):
    with pytest.raises(InputError):
        SequentialConfig(**wrong)
