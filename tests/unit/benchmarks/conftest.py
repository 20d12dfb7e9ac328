"""A world in which routing pays, and a learner that takes no time to see it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from beast_ml.benchmarks.cross_validation import CrossValidation, cross_validate
from beast_ml.benchmarks.peers.embedded import EmbeddedLearner, Examples, FitScores, Score
from beast_ml.benchmarks.scored_set import ScoredSet
from beast_ml.features.hashing import HashingEncoder
from beast_ml.logs.outcomes import ContextKey, OutcomeMatrix
from beast_ml.testing.worlds import make_world


def fit_ridge(examples: Examples) -> Score:
    rows = np.hstack([examples.vectors, np.ones((len(examples.vectors), 1))])
    target = np.where(np.isfinite(examples.quality), examples.quality, 0.5)
    weights = np.linalg.solve(rows.T @ rows + np.eye(rows.shape[1]), rows.T @ target)
    return lambda vectors: np.clip(vectors @ weights[:-1] + weights[-1], 0.0, 1.0)


@dataclass
class CountingLearner:
    """Counts how often it is asked to fit."""

    learner: EmbeddedLearner
    fits: list[int] = field(default_factory=list)
    context: tuple[ContextKey, ...] = ()

    def fit(self, train: OutcomeMatrix, cost, seed: int):
        self.fits.append(seed)
        return self.learner.fit(train, cost, seed)


@pytest.fixture(scope="session")
def ridge() -> FitScores:
    return fit_ridge


@pytest.fixture(scope="session")
def encoder() -> HashingEncoder:
    return HashingEncoder(64)


@pytest.fixture
def counting(encoder: HashingEncoder) -> Callable[[], CountingLearner]:
    return lambda: CountingLearner(EmbeddedLearner(encoder, fit_ridge))


@pytest.fixture(scope="session")
def outcomes() -> OutcomeMatrix:
    return make_world(np.random.default_rng(0), 240).outcomes


@pytest.fixture(scope="session")
def scored(outcomes: OutcomeMatrix, encoder: HashingEncoder, tmp_path_factory: pytest.TempPathFactory) -> ScoredSet:
    learner, folder = EmbeddedLearner(encoder, fit_ridge), tmp_path_factory.mktemp("folds")
    seeds = cross_validate(outcomes, "cost_usd", CrossValidation(3, 2), learner, encoder, {}, folder)
    return ScoredSet.of("world", outcomes, "cost_usd", tuple(seeds), 100)
