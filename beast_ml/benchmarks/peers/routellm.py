"""A matrix factorisation in the manner of RouteLLM, written from its paper (arXiv 2406.18665, section 4).

The score of model M on query q is delta(M, q) = w2 . (v_M * (W1 v_q + b)), and M wins against another with probability
sigmoid(delta(M, q) - delta(M', q)). RouteLLM learns it from preferences between answers; here a pair of models of
different quality on the same query is one preference. Its vectors are ours, not those of a provider's embedding model.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.peers.embedded import EmbeddedLearner, Examples, Score
from beast_ml.features.encoder import Encoder, Vectors

__all__ = ["fit_matrix_factorisation", "routellm_mf", "win_rates"]

Floats = NDArray[np.float64]

_RANK: Final = 128
_EPOCHS: Final = 30
_BATCH: Final = 64
_LEARNING_RATE: Final = 1e-3
_WEIGHT_DECAY: Final = 1e-5
_PAIRS_A_QUERY: Final = 8  # drawn anew for each fit; a pool of 28 has hundreds, nearly all of them alike


def routellm_mf(encoder: Encoder) -> EmbeddedLearner:
    """Return the learner."""
    return EmbeddedLearner(encoder, fit_matrix_factorisation)


def fit_matrix_factorisation(examples: Examples) -> Score:
    """Return the win rates of a matrix factorisation trained on pairs of models."""
    import torch
    from torch.nn import functional as F  # noqa: N812  its usual name

    queries, winners, losers = _preferences(examples, np.random.default_rng(examples.seed))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(examples.seed)
        model = torch.nn.Embedding(examples.quality.shape[1], _RANK)
        project = torch.nn.Linear(examples.vectors.shape[1], _RANK)
        weigh = torch.nn.Linear(_RANK, 1, bias=False)
        parameters = [*model.parameters(), *project.parameters(), *weigh.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
        vectors = torch.from_numpy(np.ascontiguousarray(examples.vectors))
        pairs = [torch.from_numpy(column) for column in (queries, winners, losers)]
        for _ in range(_EPOCHS if len(queries) else 0):
            order = torch.randperm(len(queries))
            for start in range(0, len(queries), _BATCH):
                query, winner, loser = (column[order[start : start + _BATCH]] for column in pairs)
                difference = F.normalize(model(winner), dim=1) - F.normalize(model(loser), dim=1)
                logit = weigh(difference * project(vectors[query]))[:, 0]
                loss = F.softplus(-logit).mean()
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
        with torch.no_grad():
            # delta is bilinear: (m, d) weights and (m,) offsets say it all, in plain numpy.
            factors = (F.normalize(model.weight, dim=1) * weigh.weight).numpy().astype(float)
            weights, offsets = factors @ project.weight.numpy(), factors @ project.bias.numpy()

    def score(rows: Vectors) -> Floats:
        return win_rates(rows.astype(float) @ weights.T + offsets)

    return score


def win_rates(delta: Floats) -> Floats:
    """Return, for (n, m) scores, how often each model is expected to win against another of the pool.

    With two models this is sigmoid of the difference, RouteLLM's own score of the strong model.

    Examples
    --------
    >>> win_rates(np.array([[np.log(3.0), 0.0]])).round(2).tolist()
    [[0.75, 0.25]]
    """
    wins = 1.0 / (1.0 + np.exp(delta[:, None, :] - delta[:, :, None]))
    m = delta.shape[1]
    return np.asarray((wins.sum(axis=2) - 0.5) / (m - 1))


def _preferences(
    examples: Examples, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return (query, winner, loser) of pairs of models that differ in quality, a few of each query."""
    n, m = examples.quality.shape
    first, second = np.triu_indices(m, 1)
    if len(first) > _PAIRS_A_QUERY:
        drawn = rng.permuted(np.tile(np.arange(len(first)), (n, 1)), axis=1)[:, :_PAIRS_A_QUERY]
    else:
        drawn = np.tile(np.arange(len(first)), (n, 1))
    query = np.repeat(np.arange(n), drawn.shape[1])
    a, b = first[drawn.ravel()], second[drawn.ravel()]
    gap = examples.quality[query, a] - examples.quality[query, b]
    differs = np.isfinite(gap) & (gap != 0)
    query, a, b, gap = query[differs], a[differs], b[differs], gap[differs]
    return query, np.where(gap > 0, a, b), np.where(gap > 0, b, a)
