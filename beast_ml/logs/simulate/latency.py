"""How long calls take: the outcome set's own latency where it has one, else overhead + output tokens / speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.simulate.config import LatencyConfig

__all__ = ["LatencyModel", "jitter_factor", "latency_model"]

Floats = NDArray[np.float64]

_MAX_TTFT_SHARE: Final = 0.5


@dataclass(frozen=True)
class LatencyModel:
    """Expected latencies.

    Parameters
    ----------
    expected_s, ttft_s
        (n, m) expected seconds to the last and to the first token. Times to the first token are always simulated:
        outcome sets do not have them.
    simulated
        (n, m) bool: where the latency is not the outcome set's own.
    tokens_per_s, overhead_s
        (m,) the speed and the overhead drawn for each model.
    """

    expected_s: Floats
    ttft_s: Floats
    simulated: NDArray[np.bool_]
    tokens_per_s: Floats
    overhead_s: Floats


def latency_model(outcomes: OutcomeMatrix, config: LatencyConfig, rng: np.random.Generator) -> LatencyModel:
    """Return expected latencies for every query and model of an outcome set."""
    n_models = len(outcomes.models)
    speed = config.tokens_per_s * np.exp(config.spread * rng.standard_normal(n_models))
    overhead = config.overhead_s * np.exp(config.spread * rng.standard_normal(n_models))
    known = ~np.isnan(outcomes.output_tokens)
    typical = np.array(
        [
            np.median(outcomes.output_tokens[known[:, j], j]) if known[:, j].any() else config.assumed_output_tokens
            for j in range(n_models)
        ]
    )
    tokens = np.where(known, outcomes.output_tokens, typical)
    simulated = np.isnan(outcomes.latency_s)
    expected = np.where(simulated, overhead + tokens / speed, outcomes.latency_s)
    return LatencyModel(expected, np.minimum(overhead, _MAX_TTFT_SHARE * expected), simulated, speed, overhead)


def jitter_factor(normals: Floats, scale: float) -> Floats:
    """Return log-normal factors of mean one, given standard normal numbers."""
    return np.asarray(np.exp(scale * normals - 0.5 * scale**2))
