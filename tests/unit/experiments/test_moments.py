import numpy as np
import pytest

from beast_ml.experiments.moments import UnitMoments, difference
from beast_ml.experiments.running_moments import running_moments

RNG = np.random.default_rng(0)
UNIT = RNG.integers(200, size=900)
OBSERVED = np.column_stack([RNG.exponential(size=900), RNG.normal(size=900)])
WEIGHT = RNG.uniform(0.5, 2.0, size=900)


def totals(stop):
    """Each unit's weighted total of values, of observations and of the covariate, added up one by one."""
    found = {}
    for unit, (value, covariate), weight in zip(UNIT[:stop], OBSERVED[:stop], WEIGHT[:stop], strict=True):
        before = found.get(unit, np.zeros(3))
        found[unit] = before + weight * np.array([value, 1.0, covariate])
    return np.array(list(found.values()))


def test_every_look_has_the_moments_of_what_was_known_then():
    looks = np.array([0, 1, 5, 300, 900])
    running = running_moments(UNIT, OBSERVED, WEIGHT, looks)
    assert running.n.tolist()[:3] == [0, 1, 5]
    assert np.isnan(running.mean[0]).all()
    for i, stop in list(enumerate(looks))[2:]:
        alone = UnitMoments.of(totals(stop))
        assert running.n[i] == alone.n
        np.testing.assert_allclose(running.mean[i], alone.mean)
        np.testing.assert_allclose(running.cov[i], alone.cov, atol=1e-12)
        np.testing.assert_allclose(running.skewness[i], alone.skewness)
        np.testing.assert_allclose(running.ratio_variance[i], alone.ratio_variance)


def test_a_ratio_of_single_observations_has_the_variance_of_a_mean():
    values = RNG.normal(size=50)
    moments = UnitMoments.of(np.column_stack([values, np.ones(50)]))
    assert moments.ratio == pytest.approx(values.mean())
    assert moments.ratio_variance == pytest.approx(values.var(ddof=1) / 50)


def test_a_covariate_that_explains_everything_leaves_only_the_effect():
    covariate = RNG.normal(size=400)
    treated = np.arange(400) % 2 == 1
    value = 2.0 * covariate + 0.3 * treated
    rows = np.column_stack([value, np.ones(400), covariate])
    found = difference(UnitMoments.of(rows[treated]), UnitMoments.of(rows[~treated]))
    assert found.effect == pytest.approx(0.3)
    assert found.variance < 1e-9 * found.unadjusted_variance


@pytest.mark.parametrize("covariate", [np.ones(400), np.zeros(400)])
def test_a_covariate_that_says_nothing_changes_nothing(covariate):
    treated = np.arange(400) % 2 == 1
    value = RNG.normal(size=400)
    rows = np.column_stack([value, np.ones(400), covariate])
    found = difference(UnitMoments.of(rows[treated]), UnitMoments.of(rows[~treated]))
    assert found.effect == pytest.approx(value[treated].mean() - value[~treated].mean())
    assert found.variance == pytest.approx(found.unadjusted_variance)
