"""Peers deciding one request at a time, each by its own code: what they are timed with."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.peers.embedded import Examples
from beast_ml.benchmarks.peers.llmrouter import FAMILIES, Family, train
from beast_ml.benchmarks.peers.paretobandit import Components, warm_start

__all__ = ["Decide", "peer_decisions"]

Decide = Callable[[NDArray[np.float32]], object]
"""(d,) vector of a prompt to whatever the peer calls its decision."""


def peer_decisions(examples: Examples) -> dict[str, Decide]:
    """Return what decides, by peer; peers that are not installed are left out."""
    found: dict[str, Decide] = {}
    if importlib.util.find_spec("pareto_bandit") is not None:
        found["paretobandit"] = _paretobandit(examples)
    if importlib.util.find_spec("llmrouter") is not None:
        for family in FAMILIES:
            found[f"llmrouter_{family}"] = _llmrouter(family, examples)
    return found


def _paretobandit(examples: Examples) -> Decide:
    from pareto_bandit import BanditRouter, FeatureService

    components = Components(examples.vectors)
    policy = warm_start(components(examples.vectors), examples.quality)
    prices = {"input_cost_per_m": 1.0, "output_cost_per_m": 1.0, "time_to_first_token_seconds": 1.0}
    registry: dict[str, dict[str, Any]] = {model: dict(prices) for model in policy.models}
    router = BanditRouter(registry, feature_service=FeatureService.for_precomputed(policy.dim))
    router.bandit = policy

    def decide(vector: NDArray[np.float32]) -> object:
        return router.route(components(vector[None])[0])

    return decide


def _llmrouter(family: Family, examples: Examples) -> Decide:
    import torch

    _, model = train(family, "cheap_first", examples)
    if family == "knn":
        return lambda vector: model.predict([vector])[0]

    def decide(vector: NDArray[np.float32]) -> object:
        with torch.no_grad():
            query = torch.from_numpy(vector)
            if family == "mlp":
                return int(model.predict(query[None]))
            return int(torch.argmax(model.score_all(model.project_text(query))))

    return decide
