import numpy as np
import pytest

from beast_ml.errors import NotEnoughDataError
from beast_ml.predictors.pooled_ridge import (
    RidgePrior,
    choose_prior,
    fit_pooled_ridge,
    known_out_of_fold,
    predict_out_of_fold,
)

PRIOR = RidgePrior(shared=0.7, own=2.0)


@pytest.fixture
def one_outcome_each():
    rng = np.random.default_rng(0)
    columns = rng.standard_normal((60, 3))
    values = np.full((60, 4), np.nan)
    values[np.arange(60), rng.integers(4, size=60)] = rng.random(60)
    return columns, values


def test_it_is_the_posterior_of_one_gaussian_process_over_requests_and_models(one_outcome_each):
    columns, values = one_outcome_each
    fitted = fit_pooled_ridge(columns, values, PRIOR)
    row, model = np.nonzero(np.isfinite(values))
    full = np.hstack([columns, np.full((60, 1), 4.0)])

    def kernel(a, of_a, b, of_b):
        return (a @ b.T) * (1 / PRIOR.shared + (of_a[:, None] == of_b[None]) / PRIOR.own)

    gram = kernel(full[row], model, full[row], model) + np.eye(len(row))
    target = values[row, model] - np.nanmean(values)
    for j in range(4):
        to = kernel(full, np.full(60, j), full[row], model)
        mean = np.nanmean(values) + to @ np.linalg.solve(gram, target)
        prior = (full**2).sum(axis=1) * (1 / PRIOR.shared + 1 / PRIOR.own)
        variance = prior - np.einsum("ij,ji->i", to, np.linalg.solve(gram, to.T))
        np.testing.assert_allclose(fitted.predict(columns)[:, j], mean)
        np.testing.assert_allclose(fitted.spread(columns)[:, j], fitted.noise * np.sqrt(variance))


def test_what_all_models_share_is_told_of_a_model_that_never_answered():
    rng = np.random.default_rng(1)
    columns = rng.standard_normal((400, 2))
    values = np.full((400, 3), np.nan)
    values[np.arange(400), rng.integers(2, size=400)] = columns[:, 0] + 0.1 * rng.standard_normal(400)
    third = fit_pooled_ridge(columns, values, RidgePrior(1.0, 10.0)).predict(columns)[:, 2]
    assert np.corrcoef(third, columns[:, 0])[0, 1] > 0.95


def test_the_width_shrinks_with_the_root_of_the_outcomes_seen_near_there():
    values = np.full((1010, 2), np.nan)
    values[:1000, 0] = np.tile([0.0, 1.0], 500)
    values[1000:, 1] = np.tile([0.0, 1.0], 5)
    columns = np.zeros((1010, 1))
    often, rarely = fit_pooled_ridge(columns, values, RidgePrior(1e-3, 1e-3), 0.5).spread(columns)[0]
    assert often == pytest.approx(0.5 / 1000**0.5, rel=0.01)
    assert rarely == pytest.approx(0.5 / 10**0.5, rel=0.01)


def test_what_is_said_of_a_fold_has_not_seen_it(one_outcome_each):
    columns, values = one_outcome_each
    folds = np.arange(60) % 3
    before = known_out_of_fold(columns, values, folds, PRIOR)
    held = folds == 0
    changed = values.copy()
    changed[held] = 10.0 + values[held, ::-1]  # other outcomes, of other models
    after = known_out_of_fold(columns, changed, folds, PRIOR)
    np.testing.assert_allclose(after.predicted[held], before.predicted[held])
    np.testing.assert_allclose(after.spread[held] / after.noise, before.spread[held] / before.noise)
    assert not np.allclose(after.predicted[~held], before.predicted[~held])
    assert not np.allclose(after.spread[~held] / after.noise, before.spread[~held] / before.noise)


def test_out_of_fold_a_fit_is_that_of_the_other_folds(one_outcome_each):
    columns, values = one_outcome_each
    folds = np.arange(60) % 3
    found, held = known_out_of_fold(columns, values, folds, PRIOR), folds == 1
    other = fit_pooled_ridge(columns[~held], values[~held], PRIOR, found.noise)
    np.testing.assert_allclose(found.predicted[held], other.predict(columns[held]))
    np.testing.assert_allclose(found.predicted, predict_out_of_fold(columns, values, folds, PRIOR))
    np.testing.assert_allclose(found.spread[held], other.spread(columns[held]))


def test_the_noise_is_that_of_outcomes_which_the_fit_did_not_see():
    """A hundred columns on 240 outcomes: a fit explains much of the noise that it has seen."""
    found, seen = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        columns, prior = rng.standard_normal((240, 100)), RidgePrior(4.0, 4.0)
        weights = rng.standard_normal((100, 2)) / prior.own**0.5 + rng.standard_normal((100, 1)) / prior.shared**0.5
        values = np.full((240, 2), np.nan)
        chosen = rng.integers(2, size=240)
        rows = np.arange(240)
        values[rows, chosen] = (columns @ weights)[rows, chosen] + rng.standard_normal(240)
        found.append(known_out_of_fold(columns, values, rows % 5, prior).noise)
        fitted = fit_pooled_ridge(columns, values, prior).predict(columns)
        seen.append(float(np.nanstd(values - fitted)))
    assert np.mean(found) == pytest.approx(1.0, abs=0.08)
    assert np.mean(seen) < 0.7


def test_noise_is_shrunk_hard_and_signal_is_not():
    rng = np.random.default_rng(3)
    columns = rng.standard_normal((500, 5))
    folds = np.arange(500) % 5
    noise, signal = rng.standard_normal((500, 2)), columns[:, :2] * 3
    assert choose_prior(columns, noise, folds).own == 150.0
    assert choose_prior(columns, signal, folds).own == 1.5


def test_with_every_outcome_known_a_fit_is_that_of_models_one_by_one_with_what_they_share(one_outcome_each):
    columns, _ = one_outcome_each
    values = np.random.default_rng(4).random((60, 4))
    all_but_one = values.copy()
    all_but_one[0, 0] = np.nan
    known, folds = fit_pooled_ridge(columns, values, PRIOR), np.arange(60) % 3
    # A request of which nothing is known makes the sums be kept model by model.
    apart = fit_pooled_ridge(np.vstack([columns, np.zeros((1, 3))]), np.vstack([values, [[np.nan] * 4]]), PRIOR)
    np.testing.assert_allclose(known.predict(columns), apart.predict(columns))
    np.testing.assert_allclose(known.spread(columns), apart.spread(columns))
    mixed, held = known_out_of_fold(columns, all_but_one, folds, PRIOR), folds == 0
    other = fit_pooled_ridge(columns[~held], values[~held], PRIOR)
    np.testing.assert_allclose(mixed.predicted[held], other.predict(columns[held]))


def test_nothing_observed_is_refused():
    with pytest.raises(NotEnoughDataError, match="nothing to learn from"):
        fit_pooled_ridge(np.zeros((3, 1)), np.full((3, 2), np.nan), PRIOR)
