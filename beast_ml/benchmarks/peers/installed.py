"""Peers that can run here: for the benchmark, and as entry points for ``beast evaluate routing --peers``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from beast_ml.benchmarks.peers.embedded import EmbeddedLearner
from beast_ml.benchmarks.peers.llmrouter import FAMILIES, ROW_ORDERS, llmrouter
from beast_ml.benchmarks.peers.paretobandit import paretobandit
from beast_ml.benchmarks.peers.routellm import routellm_mf
from beast_ml.errors import MissingExtraError
from beast_ml.features.encoder import Encoder
from beast_ml.policy.learner import get_encoder

__all__ = ["PEERS", "PeersHere", "peers_here"]

PEERS: Final[Mapping[str, Callable[[Encoder], EmbeddedLearner]]] = {
    "routellm_mf": routellm_mf,
    "paretobandit": paretobandit,
    **{f"llmrouter_{family}_{order}": partial(llmrouter, family, order) for family in FAMILIES for order in ROW_ORDERS},
}
"""Peer -> what makes its learner, given an encoder."""

PeersHere = tuple[dict[str, EmbeddedLearner], dict[str, str]]
"""Peers that are installed, by name; and why the others are not there."""


def peers_here(encoder: Encoder) -> PeersHere:
    """Return the peers that can run, and for each of the others what it lacks."""
    here, missing = {}, {}
    for name, make in PEERS.items():
        try:
            here[name] = make(encoder)
        except MissingExtraError as error:
            missing[name] = str(error)
    return here, missing


def _with_static_vectors(name: str) -> EmbeddedLearner:
    return PEERS[name](get_encoder("static"))


evaluate_routellm_mf = partial(_with_static_vectors, "routellm_mf")
evaluate_paretobandit = partial(_with_static_vectors, "paretobandit")
evaluate_llmrouter_knn_cheap_first = partial(_with_static_vectors, "llmrouter_knn_cheap_first")
evaluate_llmrouter_knn_dear_first = partial(_with_static_vectors, "llmrouter_knn_dear_first")
evaluate_llmrouter_mlp_cheap_first = partial(_with_static_vectors, "llmrouter_mlp_cheap_first")
evaluate_llmrouter_mlp_dear_first = partial(_with_static_vectors, "llmrouter_mlp_dear_first")
evaluate_llmrouter_mf_cheap_first = partial(_with_static_vectors, "llmrouter_mf_cheap_first")
evaluate_llmrouter_mf_dear_first = partial(_with_static_vectors, "llmrouter_mf_dear_first")
