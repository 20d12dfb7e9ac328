"""A tuned encoder must not promise on its training queries what it does not keep on others."""

from dataclasses import replace

import numpy as np
import pytest

from beast_ml.features.bags import TokenBags
from beast_ml.features.encoder import StaticEncoder
from beast_ml.features.spec import FeatureBuilder, FeatureSpec
from beast_ml.features.tuning import TableTuning, tune_features, tune_table
from beast_ml.logs.splits import query_fold
from beast_ml.testing.router_fixtures import distilled  # noqa: F401 - fixtures are used by name
from beast_ml.testing.worlds import make_world

TUNING = TableTuning(epochs=8, batch=32, hidden=32)
N_TRAIN, N_NEW, N_WORLDS = 240, 480, 6


def ridge(rows, targets, new_rows):
    """Return linear predictions."""
    center, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-3
    X, Z = (rows - center) / scale, (new_rows - center) / scale
    weights = np.linalg.solve(X.T @ X + 30.0 * np.eye(X.shape[1]), X.T @ (targets - targets.mean(axis=0)))
    return targets.mean(axis=0) + Z @ weights


def cross_fitted(rows, targets, folds):
    out = np.empty_like(targets)
    for fold in np.unique(folds):
        out[folds == fold] = ridge(rows[folds != fold], targets[folds != fold], rows[folds == fold])
    return out


def squared_error(predicted, quality):
    return float(((predicted - quality) ** 2).mean())


def promised_and_kept(rows, features, train, new, folds):
    """Return mean squared errors: out of fold on the training queries, and on new ones."""
    predicted = ridge(rows, train.quality, features.matrix(new.prompts))
    return (
        squared_error(cross_fitted(rows, train.quality, folds), train.quality),
        squared_error(predicted, new.quality),
    )


@pytest.fixture(scope="module")
def errors(distilled):  # noqa: F811 - the fixture
    """Return (promised, kept) by way of tuning: (worlds, 2) arrays."""
    found = {"static": [], "cross-fitted": [], "all outcomes seen": []}
    for seed in range(N_WORLDS):
        rng = np.random.default_rng([seed, 9])
        train = make_world(rng, N_TRAIN).outcomes
        new = make_world(rng, N_NEW, prefix="new").outcomes
        folds = query_fold(train.prompts, 5, seed)
        features = FeatureBuilder(FeatureSpec.learn(distilled, train.prompts), distilled)
        rows = features.matrix(train.prompts)
        found["static"].append(promised_and_kept(rows, features, train, new, folds))
        tuned = tune_features(features, rows, train, folds, rng, tuning=TUNING)
        found["cross-fitted"].append(promised_and_kept(tuned.rows, tuned.features, train, new, folds))
        bags, tasks = TokenBags.of(distilled, train.prompts), np.zeros(N_TRAIN, dtype=np.intp)
        table = tune_table(distilled.table, bags, train.quality, tasks, rng, TUNING)
        seen = replace(features, encoder=StaticEncoder(table.astype(np.float16), distilled.tokenizer_json))
        found["all outcomes seen"].append(promised_and_kept(seen.matrix(train.prompts), seen, train, new, folds))
    return {name: np.array(pairs) for name, pairs in found.items()}


def optimism(errors, name):
    """Return how much more than the static encoder one promises beyond what it keeps: mean and standard error."""
    gaps = [errors[key][:, 1] - errors[key][:, 0] for key in (name, "static")]
    difference = gaps[0] - gaps[1]
    return difference.mean(), difference.std(ddof=1) / np.sqrt(len(difference))


@pytest.mark.slow
def test_out_of_fold_predictions_of_a_tuned_encoder_are_not_optimistic(errors):
    mean, standard_error = optimism(errors, "cross-fitted")
    assert mean < 2 * standard_error


@pytest.mark.slow
def test_those_of_a_table_that_saw_every_outcome_would_be(errors):
    mean, standard_error = optimism(errors, "all outcomes seen")
    assert mean > 3 * standard_error
