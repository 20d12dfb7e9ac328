"""Outcomes in which routing pays, and a small learner that finds out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from beast_ml.features.hashing import HashingEncoder
from beast_ml.logs.outcomes import ContextKey, OutcomeMatrix
from beast_ml.logs.splits import query_fold
from beast_ml.policy.learner import realised_cost
from beast_ml.policy.utility import CostKind, Predictions

WORDS = {
    "maths": ["integral", "prime", "sum", "matrix", "angle", "proof"],
    "code": ["python", "loop", "compile", "stack", "regex", "thread"],
    "chat": ["hello", "weather", "story", "joke", "dinner", "holiday"],
}
MODELS = ("large", "medium", "small")
RIGHT = {"maths": (0.9, 0.5, 0.1), "code": (0.9, 0.93, 0.2), "chat": (0.9, 0.93, 0.97)}


def outcomes(n: int = 300, seed: int = 0, *, prefix: str = "q") -> OutcomeMatrix:
    """Small models chat a little better than the large one, and can do little else."""
    rng = np.random.default_rng(seed)
    tasks = rng.choice(list(WORDS), size=n)
    prompts = [" ".join(rng.choice(WORDS[task], size=8)) + f" {prefix}{seed}x{i}" for i, task in enumerate(tasks)]
    quality = (rng.random((n, 1)) < np.array([RIGHT[task] for task in tasks])).astype(float)
    cost = rng.uniform(0.8, 1.2, (n, 1)) * np.array([1e-2, 2e-3, 5e-4])
    nothing = np.full((n, 3), np.nan)
    return OutcomeMatrix(
        np.array([f"{prefix}{i:04d}" for i in range(n)]), tuple(prompts), tasks, np.full(n, ""), MODELS,
        quality, cost, nothing, nothing, nothing, nothing,
    )  # fmt: skip


def to_frame(matrix: OutcomeMatrix) -> pd.DataFrame:
    rows, columns = np.nonzero(np.isfinite(matrix.quality))
    return pd.DataFrame(
        {
            "query_id": matrix.query_ids[rows],
            "task": matrix.tasks[rows],
            "prompt": [matrix.prompts[i] for i in rows],
            "model": [matrix.models[j] for j in columns],
            "quality": matrix.quality[rows, columns],
            "cost_usd": matrix.cost_usd[rows, columns],
            "latency_s": matrix.latency_s[rows, columns],
        }
    )


@dataclass(frozen=True)
class FittedRidge:
    models: tuple[str, ...]
    out_of_fold: Predictions
    encoder: HashingEncoder
    quality: np.ndarray
    cost: np.ndarray

    def predict(self, prompts: Sequence[str], contexts: Sequence[dict[str, str]] | None) -> Predictions:
        rows = design(self.encoder, prompts, contexts)
        return Predictions(self.models, np.clip(rows @ self.quality, 0, 1), np.maximum(rows @ self.cost, 0))


@dataclass(frozen=True)
class RidgeLearner:
    """Ridge regression on hashed words; reads tasks when told to."""

    encoder: HashingEncoder
    context: tuple[ContextKey, ...] = ()

    def fit(self, train: OutcomeMatrix, cost: CostKind, seed: int) -> FittedRidge:
        rows = design(self.encoder, train.prompts, train.contexts(self.context) if self.context else None)
        targets = [filled(train.quality), filled(realised_cost(train, cost))]
        folds = query_fold(train.prompts, 5, seed)
        unseen = [np.empty_like(target) for target in targets]
        for fold in np.unique(folds):
            out = folds == fold
            for target, values in zip(targets, unseen, strict=True):
                values[out] = rows[out] @ solve(rows[~out], target[~out])
        quality, costs = (solve(rows, target) for target in targets)
        out_of_fold = Predictions(train.models, np.clip(unseen[0], 0, 1), np.maximum(unseen[1], 0))
        return FittedRidge(train.models, out_of_fold, self.encoder, quality, costs)


def design(encoder, prompts, contexts):
    known = None
    if contexts is not None:
        known = np.array([[context.get("task") == name for name in WORDS] for context in contexts], float)
    parts = [encoder.encode(prompts).astype(float), np.ones((len(prompts), 1))]
    return np.hstack(parts if known is None else [*parts, known])


def solve(rows, target):
    return np.linalg.solve(rows.T @ rows + 0.3 * np.eye(rows.shape[1]), rows.T @ target)


def filled(values):
    known = np.isfinite(values)
    means = np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, values, means)


@pytest.fixture(scope="session")
def make_outcomes() -> Callable[..., OutcomeMatrix]:
    return outcomes


@pytest.fixture(scope="session")
def as_frame() -> Callable[[OutcomeMatrix], pd.DataFrame]:
    return to_frame


@pytest.fixture(scope="session")
def encoder() -> HashingEncoder:
    return HashingEncoder(64)


@pytest.fixture(scope="session")
def learner(encoder) -> RidgeLearner:
    return RidgeLearner(encoder)
