"""Small made-up outcome sets for tests; nothing about them is real."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from beast_ml.logs.outcomes import OutcomeMatrix

__all__ = ["random_outcomes"]

_TASKS = ("code", "maths", "")


def random_outcomes(
    rng: np.random.Generator, n_queries: int = 40, n_models: int = 4, *, missing: float = 0.2, **arrays: Any
) -> OutcomeMatrix:
    """Return random outcomes: later models are better and dearer, latencies and input tokens are not known.

    Parameters
    ----------
    rng
        Where the numbers come from.
    n_queries, n_models
        The size.
    missing
        Share of outcomes that are not known; when above zero, nothing at all is known of the first query.
    arrays
        Fields of the matrix that replace the random ones.
    """
    shape = (n_queries, n_models)
    quality = rng.random(shape) * np.linspace(0.5, 1.0, n_models)
    cost = rng.random(shape) * np.linspace(1e-5, 1e-2, n_models)
    quality[rng.random(shape) < missing] = np.nan
    cost[rng.random(shape) < missing / 2] = np.nan
    if missing > 0:
        quality[0] = np.nan
    matrix = OutcomeMatrix(
        query_ids=np.array([f"q{i:05d}" for i in range(n_queries)]),
        prompts=tuple(f"What is the answer to question {i}? It is not easy." for i in range(n_queries)),
        tasks=np.array([_TASKS[i % 3] for i in range(n_queries)]),
        apps=np.full(n_queries, ""),
        models=tuple(f"m{j}" for j in range(n_models)),
        quality=quality,
        cost_usd=cost,
        input_tokens=np.full(shape, np.nan),
        output_tokens=np.floor(rng.random(shape) * 500),
        latency_s=np.full(shape, np.nan),
        ttft_s=np.full(shape, np.nan),
    )
    return replace(matrix, **arrays)
