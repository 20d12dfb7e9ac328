"""What others would decide on the pairs of `beast cache evaluate --peers`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.cache.gptcache import DEFAULT_THRESHOLD, gptcache_ranks
from beast_ml.benchmarks.cache.vcache import Correctness
from beast_ml.cache.verifier.evaluate import Method, PairPeer
from beast_ml.cache.verifier.labelled import LabelledPairs
from beast_ml.cache.verifier.risk import RiskTarget
from beast_ml.errors import MissingExtraError

__all__ = ["gptcache_pairs", "installed_pair_peers", "vcache_pairs"]

Floats = NDArray[np.float64]


def gptcache_pairs(train: LabelledPairs, train_cosines: Floats, cosines: Floats) -> Method:
    """Return what GPTCache does at its default threshold; it learns nothing from the training pairs."""
    del train, train_cosines
    ranks, most = gptcache_ranks(cosines)
    return Method(ranks, ranks >= DEFAULT_THRESHOLD * most, f"its default threshold, {DEFAULT_THRESHOLD}")


def vcache_pairs(target: RiskTarget, rng: np.random.Generator) -> PairPeer:
    """Return vCache's rule with one model of correctness for all entries, fitted on the training pairs.

    An entry of its own has no six observations here (texts seldom come up twice), and would never be served.
    """

    def decide(train: LabelledPairs, train_cosines: Floats, cosines: Floats) -> Method:
        model = Correctness.fit(train_cosines, train.same)
        hit = rng.random(len(cosines)) > model.explore_probability(cosines, target.epsilon)

        def along(right: NDArray[np.bool_]) -> tuple[Floats, Floats]:
            serve = [1.0 - model.explore_probability(cosines, delta) for delta in np.linspace(0.0005, 0.2, 120)]
            return np.array([p.mean() for p in serve]), np.array([(p * ~right).mean() for p in serve])

        return Method(cosines, hit, "its delta is epsilon; one model for all entries", along)

    return decide


def installed_pair_peers(target: RiskTarget, say: Callable[[str], None]) -> dict[str, PairPeer]:
    """Return the peers that can run here."""
    peers: dict[str, PairPeer] = {}
    try:
        gptcache_ranks(np.ones(1))
        peers["GPTCache"] = gptcache_pairs
    except MissingExtraError as error:
        say(f"warning: GPTCache is left out: {error}")
    peers["vCache's rule, pooled"] = vcache_pairs(target, np.random.default_rng(0))
    return peers
