"""What all peers have in common: vectors in, a score for every candidate out, a mean cost a model.

None of them predicts cost per query, so a model's mean cost on the training data stands in, and their curves come from
weighing score against it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beast_ml.features.boilerplate import find_boilerplate, strip_boilerplate
from beast_ml.features.encoder import Encoder, Vectors
from beast_ml.logs.outcomes import ContextKey, OutcomeMatrix
from beast_ml.logs.splits import query_fold
from beast_ml.policy.baselines import model_means
from beast_ml.policy.learner import realised_cost
from beast_ml.policy.utility import CostKind, Predictions

__all__ = ["EmbeddedLearner", "EmbeddedRouter", "Examples", "FitScores", "Score"]

Floats = NDArray[np.float64]

_N_FOLDS = 3  # each fold is a fit of its own, and only operating points are chosen on what it gives


@dataclass(frozen=True)
class Examples:
    """What a peer is trained on.

    Parameters
    ----------
    vectors
        (n, d) embedded prompts.
    quality
        (n, m) outcomes, NaN where not observed; every model and every query has some.
    mean_cost
        (m,) mean costs.
    seed
        Of whatever the peer draws.
    """

    vectors: Vectors
    quality: Floats
    mean_cost: Floats
    seed: int


Score = Callable[[Vectors], Floats]
"""(n, d) vectors to (n, m) scores in 0..1: how good the peer takes each candidate to be, in its own terms."""

FitScores = Callable[[Examples], Score]
"""Learns from examples how to score a query."""


def _as_they_are(costs: Floats) -> Floats:
    return costs


@dataclass(frozen=True)
class EmbeddedLearner:
    """Learns a peer on embedded prompts.

    Parameters
    ----------
    encoder
        Embeds the prompts, without lines that many of them share.
    fit_scores
        The peer's training.
    held_against
        What the peer holds against a model, from the (m,) mean costs and in their unit.
    """

    encoder: Encoder
    fit_scores: FitScores
    held_against: Callable[[Floats], Floats] = _as_they_are

    @property
    def context(self) -> tuple[ContextKey, ...]:
        """Nothing is read beside the prompt."""
        return ()

    def fit(self, train: OutcomeMatrix, cost: CostKind, seed: int) -> EmbeddedRouter:
        """Return the peer, fitted on all queries and once more without each fold."""
        boilerplate = find_boilerplate(train.prompts)
        vectors = self.encoder.encode([strip_boilerplate(prompt, boilerplate)[0] for prompt in train.prompts])
        mean_cost = model_means(realised_cost(train, cost))
        out_of_fold = np.empty_like(train.quality)
        folds = query_fold(train.prompts, _N_FOLDS, seed)
        for fold in np.unique(folds):
            out = folds == fold
            score = self.fit_scores(Examples(vectors[~out], train.quality[~out], mean_cost, seed))
            out_of_fold[out] = score(vectors[out])
        score = self.fit_scores(Examples(vectors, train.quality, mean_cost, seed))
        costs = self.held_against(mean_cost)
        seen = Predictions(train.models, out_of_fold, np.broadcast_to(costs, out_of_fold.shape))
        return EmbeddedRouter(train.models, seen, self.encoder, boilerplate, score, costs)


@dataclass(frozen=True)
class EmbeddedRouter:
    """A fitted peer.

    Parameters
    ----------
    models
        The m candidates.
    out_of_fold
        What it said of training prompts that it had not seen.
    encoder, boilerplate
        How prompts become vectors.
    score
        Its scores.
    costs
        (m,) what it holds against each model.
    """

    models: tuple[str, ...]
    out_of_fold: Predictions
    encoder: Encoder
    boilerplate: frozenset[str]
    score: Score
    costs: Floats

    def predict(self, prompts: Sequence[str], contexts: Sequence[Mapping[str, str]] | None = None) -> Predictions:
        """Return (n, m) scores and costs of the candidates; contexts are not read."""
        texts = [strip_boilerplate(prompt, self.boilerplate)[0] for prompt in prompts]
        scores = self.score(self.encoder.encode(texts))
        return Predictions(self.models, scores, np.broadcast_to(self.costs, scores.shape))
