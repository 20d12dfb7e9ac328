from dataclasses import replace

import numpy as np
import pytest

from beast_ml.errors import InputError
from beast_ml.predictors.contract import TrainingSet
from beast_ml.predictors.families.selection import FamiliesConfig
from beast_ml.predictors.network import NetworkConfig
from beast_ml.predictors.pooling import SourceSet, TrunkConfig, fit_trunk
from beast_ml.predictors.quality import fit_quality
from beast_ml.testing.worlds import make_world

_SMALL = TrunkConfig(hidden=64, units=8, dropout=0.0, steps=300)
_WIDTH = 24


def _bent(rows):
    """What is hard, in every deployment alike: nothing that a line through few rows would show."""
    return np.tanh(2.0 * rows[:, 0] * rows[:, 1])


def _deployment(rng, n, n_models, *, shift=0.0, shared=True):
    rows = rng.standard_normal((n, _WIDTH)).astype(np.float32)
    hard = _bent(rows) if shared else rng.standard_normal(n)
    logits = rng.normal(0.0, 0.3, n_models) + 4.0 * hard[:, None] * rng.choice([-1.0, 1.0], n_models)
    quality = (rng.random((n, n_models)) < 1.0 / (1.0 + np.exp(-logits))).astype(float)
    prompts = tuple(f"{n_models}-{shift}-{i}" for i in range(n))
    return SourceSet(prompts, rows + np.float32(shift), quality), _bent(rows)


@pytest.fixture(scope="module")
def sources():
    rng = np.random.default_rng(0)
    return [_deployment(rng, 1500, 3)[0], _deployment(rng, 800, 5, shift=2.0)[0]]


def _explained(trunk, rows, truth):
    """Return R2 of the truth by a line through the activations of half of the rows, on the other half."""
    inputs = np.hstack([trunk.activations(rows), np.ones((len(rows), 1), np.float32)]).astype(float)
    half = len(rows) // 2
    weights = np.linalg.lstsq(inputs[:half], truth[:half], rcond=None)[0]
    residual = truth[half:] - inputs[half:] @ weights
    return 1.0 - residual.var() / truth[half:].var()


def test_units_know_of_a_deployment_that_was_not_there(sources):
    new, truth = _deployment(np.random.default_rng(1), 1000, 4, shift=-3.0)
    trunk = fit_trunk(sources, np.random.default_rng(0), _SMALL)
    centred = trunk.centred_on(new.rows)
    assert _explained(centred, new.rows, truth) > 0.5
    assert _explained(trunk, new.rows, truth) < _explained(centred, new.rows, truth)


def test_sources_without_shared_structure_teach_nothing():
    rng = np.random.default_rng(0)
    unrelated = [_deployment(rng, 1500, 3, shared=False)[0]]
    new, truth = _deployment(rng, 1000, 4)
    trunk = fit_trunk(unrelated, rng, _SMALL).centred_on(new.rows)
    assert _explained(trunk, new.rows, truth) < 0.3


def test_with_few_own_queries_pooled_predictions_are_better(sources):
    rng = np.random.default_rng(2)
    new, _ = _deployment(rng, 1100, 3, shift=1.0)
    few, rest = np.arange(100), np.arange(100, 1100)
    trunk = fit_trunk(sources, rng, _SMALL).centred_on(new.rows[few])
    outcomes = replace(make_world(rng, 100).outcomes, quality=new.quality[few], tasks=np.full(100, ""))
    config = FamiliesConfig(("ridge",), NetworkConfig(), student=NetworkConfig(hidden=(), epochs=1))
    brier = []
    for rows in (new.rows, trunk.extend(new.rows)):
        data = TrainingSet(rows[few], outcomes, few % 5)
        fitted = fit_quality(data, np.random.default_rng(0), config)
        brier.append(np.mean((fitted.undistilled(rows[rest]) - new.quality[rest]) ** 2))
    assert brier[1] < 0.9 * brier[0]


def test_unobserved_cells_count_for_nothing(sources):
    one = sources[0]
    hidden = np.random.default_rng(0).random(one.quality.shape) < 0.5
    unknown = SourceSet(one.prompts, one.rows, np.where(hidden, np.nan, one.quality))
    widened = SourceSet(one.prompts, one.rows, np.hstack([unknown.quality, np.full((len(one.rows), 1), np.nan)]))
    for sets in ([unknown], [widened]):
        activations = fit_trunk(sets, np.random.default_rng(0), _SMALL).activations(one.rows)
        assert np.isfinite(activations).all()


def test_a_seed_decides_everything(sources):
    first, again, other = (fit_trunk(sources, np.random.default_rng(seed), _SMALL) for seed in (0, 0, 1))
    rows = sources[0].rows[:20]
    assert np.array_equal(first.activations(rows), again.activations(rows))
    assert not np.array_equal(first.activations(rows), other.activations(rows))
    assert first.extend(rows).shape == (20, _WIDTH + _SMALL.units)


def test_questions_of_the_target_are_taken_out_whatever_their_case():
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    one = SourceSet(("Who?", "Why?", "where?"), rows, np.eye(3))
    kept = one.without_questions(["who? ", "WHERE?"])
    assert kept.prompts == ("Why?",)
    assert np.array_equal(kept.rows, rows[1:2])
    assert np.array_equal(kept.quality, np.eye(3)[1:2])


def test_sets_that_cannot_be_pooled_are_refused(sources):
    rng = np.random.default_rng(0)
    narrow = SourceSet(("a",), np.zeros((1, 2), np.float32), np.ones((1, 2)))
    blind = SourceSet(("a",), np.zeros((1, 2), np.float32), np.full((1, 2), np.nan))
    with pytest.raises(InputError, match="no set"):
        fit_trunk([], rng)
    with pytest.raises(InputError, match="2 and 24 features"):
        fit_trunk([sources[0], narrow], rng)
    with pytest.raises(InputError, match="set 0 of 1 has no observed quality"):
        fit_trunk([blind], rng)
