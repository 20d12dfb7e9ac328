"""ParetoBandit's policy, trained offline: the package's own linear bandit, warm-started, then frozen.

Every training outcome is fed to its model's ridge regression, which the policy holds as sufficient statistics; then it
exploits, without an exploration bonus. As in the package, vectors are reduced to 25 whitened principal components and a
constant, and a model's price counts on a logarithmic scale; its cost weight is what our curves sweep.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.peers.embedded import EmbeddedLearner, Examples, Score
from beast_ml.errors import MissingExtraError
from beast_ml.features.encoder import Encoder, Vectors

if TYPE_CHECKING:
    from pareto_bandit import DisjointLinUCBPolicy

__all__ = ["Components", "log_prices", "paretobandit", "warm_start"]

Floats = NDArray[np.float64]

_COMPONENTS: Final = 25


class Components:
    """Whitened principal components of vectors, and a constant.

    Parameters
    ----------
    vectors
        (n, d) to learn them from.
    """

    def __init__(self, vectors: Vectors) -> None:
        from sklearn.decomposition import PCA

        self._pca = PCA(min(_COMPONENTS, *vectors.shape), whiten=True, random_state=0).fit(vectors)

    def __call__(self, vectors: Vectors) -> Floats:
        """Return (n, components + 1) contexts."""
        return np.hstack([self._pca.transform(vectors).astype(float), np.ones((len(vectors), 1))])


def paretobandit(encoder: Encoder) -> EmbeddedLearner:
    """Return the learner.

    Raises
    ------
    MissingExtraError
        If the package is not installed.
    """
    if importlib.util.find_spec("pareto_bandit") is None:
        raise MissingExtraError("ParetoBandit as a peer", "peers")
    return EmbeddedLearner(encoder, _fit, log_prices)


def _fit(examples: Examples) -> Score:
    components = Components(examples.vectors)
    policy = warm_start(components(examples.vectors), examples.quality)
    theta = np.stack([policy.theta[model] for model in policy.models], axis=1)

    def score(vectors: Vectors) -> Floats:
        # Exploiting, its score is the expected reward.
        return np.asarray(np.clip(components(vectors) @ theta, 0.0, 1.0))

    return score


def warm_start(contexts: Floats, quality: Floats) -> DisjointLinUCBPolicy:
    """Return the package's policy after all training outcomes, models named by position.

    Parameters
    ----------
    contexts
        (n, d) contexts.
    quality
        (n, m) rewards, NaN where not observed.
    """
    from pareto_bandit import DisjointLinUCBPolicy

    policy = DisjointLinUCBPolicy([str(j) for j in range(quality.shape[1])], dim=contexts.shape[1])
    for j, model in enumerate(policy.models):
        seen = np.isfinite(quality[:, j])
        # Its update of one outcome after another, without forgetting, sums to this.
        policy.A[model] = policy.A[model] + contexts[seen].T @ contexts[seen]
        policy.b[model] = policy.b[model] + contexts[seen].T @ quality[seen, j]
    policy.refresh_inverse_cache()
    return policy


def log_prices(mean_cost: Floats) -> Floats:
    """Return what the policy holds against each model: its price on a logarithmic scale over the pool's range.

    The ends stay where they are, so the unit is that of cost.

    Examples
    --------
    >>> log_prices(np.array([0.001, 0.01, 0.1])).round(4).tolist()
    [0.001, 0.0505, 0.1]
    """
    from pareto_bandit.costs import log_normalize_cost

    low, high = float(mean_cost.min()), float(mean_cost.max())
    if low <= 0 or high <= low:
        return mean_cost
    return np.array([low + log_normalize_cost(cost, low, high) * (high - low) for cost in mean_cost.tolist()])
