import numpy as np

from beast_ml.predictors.doubly_robust import doubly_robust_targets, fit_targets


def logged(n=3000, seed=0, bias=0.0):
    """Two models whose quality goes by the first column; the second is chosen for one request in four."""
    rng = np.random.default_rng(seed)
    columns = rng.standard_normal((n, 2))
    truth = 0.3 * np.stack([columns[:, 0], -columns[:, 0]], axis=1) + bias
    propensity = np.array([0.75, 0.25])
    chosen = (rng.random(n) < 0.25).astype(int)
    values = np.full((n, 2), np.nan)
    values[np.arange(n), chosen] = truth[np.arange(n), chosen] + rng.standard_normal(n)
    return columns, truth, values, chosen, propensity[chosen]


def test_targets_are_unbiased_whatever_was_predicted():
    _, truth, values, chosen, propensity = logged(60_000)
    targets = doubly_robust_targets(values, chosen, propensity, np.full(truth.shape, 5.0))
    error = targets - truth
    assert (np.abs(error.mean(axis=0)) < 4.5 * error.std(axis=0) / len(error) ** 0.5).all()


def test_weights_have_a_ceiling():
    values, predicted = np.array([[1.0, np.nan]]), np.zeros((1, 2))
    assert doubly_robust_targets(values, np.array([0]), np.array([1e-6]), predicted, 10.0)[0, 0] == 10.0


def test_a_request_without_an_outcome_keeps_its_predictions():
    predicted = np.array([[0.3, 0.6]])
    targets = doubly_robust_targets(np.full((1, 2), np.nan), np.array([1]), np.array([0.5]), predicted)
    np.testing.assert_array_equal(targets, predicted)


def test_noisy_targets_are_left_alone_where_the_outcomes_tell_as_much():
    columns, _, values, chosen, propensity = logged(800)
    targets = fit_targets(columns, values, chosen, propensity, np.arange(800) % 5)
    assert not targets.doubly_robust
    assert targets.values is values
    assert targets.prior == targets.direct_prior
    assert targets.out_of_fold is targets.direct.predicted


def misleading(n=20_000):
    """The likelier a model is to be chosen, the worse it is, and the only column does not tell the requests apart."""
    rng = np.random.default_rng(1)
    hard = rng.random(n) < 0.5
    quality = np.where(hard, 0.1, 0.9)[:, None] + np.zeros((n, 2))
    chosen = (rng.random(n) < np.where(hard, 0.9, 0.1)).astype(int)
    propensity = np.where(hard == (chosen == 1), 0.9, 0.1)
    values = np.full((n, 2), np.nan)
    values[np.arange(n), chosen] = quality[np.arange(n), chosen]
    return values, chosen, propensity


def test_targets_are_taken_where_what_was_seen_misleads():
    values, chosen, propensity = misleading()
    n = len(values)
    targets = fit_targets(np.zeros((n, 1)), values, chosen, propensity, np.arange(n) % 5)
    assert targets.doubly_robust
    np.testing.assert_allclose(targets.values.mean(axis=0), 0.5, atol=0.03)
    assert np.abs(np.nanmean(values, axis=0) - 0.5).min() > 0.25


def test_out_of_fold_nothing_of_a_fold_is_seen_through_the_targets_of_the_others():
    values, chosen, propensity = misleading(4000)
    folds, held = np.arange(4000) % 5, np.arange(4000) % 5 == 0
    changed = values.copy()
    changed[held] += 1e-3
    columns = np.zeros((4000, 1))
    before, after = (fit_targets(columns, each, chosen, propensity, folds) for each in (values, changed))
    assert before.doubly_robust
    assert after.doubly_robust
    assert (before.prior, before.direct_prior) == (after.prior, after.direct_prior)
    np.testing.assert_allclose(after.out_of_fold[held], before.out_of_fold[held])
    assert np.abs(after.out_of_fold[~held] - before.out_of_fold[~held]).min() > 1e-6
