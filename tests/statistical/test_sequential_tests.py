"""Claims of experiments are as rare, intervals as true, and tests as powerful as they say, looked at all the time."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from beast_ml.benchmarks.learning.sequential import OUTCOMES, false_alarms, many_variants, samples_saved
from beast_ml.benchmarks.learning.sequential import variance_reduction as reduced
from beast_ml.experiments.checks import ratio_mismatch
from beast_ml.experiments.running_moments import running_moments
from beast_ml.experiments.sequential_test import SequentialConfig, follow
from beast_ml.logs.outcomes import OutcomeMatrix

EXPERIMENTS = 150


@pytest.mark.parametrize("name", OUTCOMES)
def test_looking_all_the_time_claims_no_difference_too_often(name: str) -> None:
    found = false_alarms(name, EXPERIMENTS, 4_000, 3)
    assert found.rate * EXPERIMENTS <= stats.binom.ppf(0.999, EXPERIMENTS, 0.05)
    assert found.ordinary_rate > 2 * 0.05  # so that the looks would have been a danger


def test_the_interval_holds_at_all_looks_at_once() -> None:
    rng = np.random.default_rng(4)
    n, missed = 2_000, 0
    for _ in range(EXPERIMENTS):
        treated = rng.random(n) < 0.3
        values = (rng.exponential(size=n) + 0.5 * treated)[:, None]
        sides = [
            running_moments(np.arange(n)[own], values[own], np.ones(own.sum()), np.cumsum(own))
            for own in (treated, ~treated)
        ]
        low, high = follow(*sides, SequentialConfig()).interval(0.05)
        missed += bool(((low > 0.5) | (high < 0.5)).any())
    assert missed <= stats.binom.ppf(0.999, EXPERIMENTS, 0.05)


def test_the_planned_power_is_reached_and_large_effects_end_early() -> None:
    at_mde, _, twice, _ = samples_saved(200, 5)
    assert at_mde.power >= stats.binom.ppf(0.001, 200, 0.8) / 200
    assert twice.mean_ratio < 0.5


def test_few_of_what_is_found_among_many_variants_is_false() -> None:
    by_method = {each.method: each for each in many_variants(40, 6, n_units=4_000)}
    assert by_method["holm"].fwer * 40 <= stats.binom.ppf(0.999, 40, 0.05)
    assert by_method["fdr"].fdr <= 0.05 + 3 * 0.5 * 0.05**0.5 / 40**0.5
    assert by_method["fdr"].found > 0.4


def test_a_fair_division_of_units_is_hardly_ever_called_unfair() -> None:
    rng = np.random.default_rng(7)
    shares = np.array([0.7, 0.2, 0.1])
    p_values = np.array([ratio_mismatch(rng.choice(3, 1_000, p=shares), shares).p_value for _ in range(400)])
    assert (p_values < 0.05).sum() <= stats.binom.ppf(0.999, 400, 0.05)
    off = ratio_mismatch(rng.choice(3, 6_000, p=[0.65, 0.25, 0.1]), shares)
    assert off.found


def test_shares_that_change_on_the_way_are_no_mismatch() -> None:
    rng = np.random.default_rng(8)
    share = np.where(np.arange(2_000) < 1_000, 0.1, 0.5)
    expected = np.stack([1 - share, share], axis=1)
    p_values = [ratio_mismatch((rng.random(2_000) < share).astype(np.intp), expected).p_value for _ in range(200)]
    assert (np.array(p_values) < 0.05).sum() <= stats.binom.ppf(0.999, 200, 0.05)


def test_covariates_save_what_they_explain_without_bias() -> None:
    rng = np.random.default_rng(9)
    n = 1_500
    known = rng.uniform(0.1, 0.9, size=(n, 2))
    quality = (rng.random((n, 2)) < known).astype(float)
    nothing = np.full((n, 2), np.nan)
    text = np.array([""] * n)
    outcomes = OutcomeMatrix(
        np.array([f"{i:05}" for i in range(n)]), ("",) * n, text, text, ("a", "b"), quality, *(nothing,) * 5
    )
    found = reduced("drawn", outcomes, known, 100, 0)
    # A prediction explains 0.8^2 / 12 of its outcome's variance, 0.25; of a difference of two independent ones half.
    assert found.reduction == pytest.approx(0.8**2 / 12 / 0.25 / 2, abs=0.03)
    assert abs(found.effect_bias) < 4 * found.bias_error
