"""A search over settings whose worth is made up and known, so that trials take no time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier

import numpy as np
from numpy.typing import NDArray

from beast_ml.operations.router_tuning.fold_scores import FoldScores, FoldTask
from beast_ml.operations.router_tuning.search import RouterSearch, Trial
from beast_ml.operations.router_tuning.search_space import SearchSpace
from beast_ml.operations.router_tuning.storage import open_storage
from beast_ml.policy.learner import RouterLearner
from beast_ml.policy.learner_settings import LearnerSettings
from beast_ml.testing.worlds import make_world

__all__ = ["QuickTask", "made_up_worth", "quick_search", "run_together"]


def made_up_worth(settings: LearnerSettings) -> float:
    """Return what settings are worth: hashing is hopeless, more shrinkage is better, all else changes nothing."""
    return 0.5 - 0.4 * (settings.encoder == "hashing") + 0.1 * (settings.prior_queries > 50.0)


@dataclass(frozen=True)
class QuickTask(FoldTask):
    """A task that fits nothing.

    Parameters
    ----------
    seconds
        How long a fold takes.
    noise
        Standard deviation of the worth of a query, the same for all settings, and a tenth of it of their own.
    """

    seconds: float = 0.0
    noise: float = 0.1

    def score(self, settings: LearnerSettings, train: NDArray[np.bool_], test: NDArray[np.bool_]) -> FoldScores:
        """Return made-up figures around `made_up_worth`."""
        time.sleep(self.seconds)
        n = int(test.sum())
        common = np.random.default_rng(1).normal(size=n)
        own = np.random.default_rng(int(1e6 * settings.dropout)).normal(size=n)
        worth = made_up_worth(settings) + self.noise * (common + 0.1 * own)
        quality = np.full(n, settings.quality_target)
        return FoldScores(worth.tolist(), quality.tolist(), (quality**2).tolist(), (1.0 / quality).tolist())


def quick_search(
    storage: str, study: str, *, n_queries: int = 60, seconds: float = 0.0, only_gain: bool = False
) -> RouterSearch:
    """Return a search over a small world; equal arguments share its study."""
    outcomes = make_world(np.random.default_rng(0), n_queries).outcomes
    task = QuickTask(outcomes, "cost_usd", np.array([0.01]), RouterLearner("hashing"), 0, seconds)
    space = SearchSpace(("static", "hashing"))
    return RouterSearch(task, space, 2, open_storage(storage), study, only_gain=only_gain)


def run_together(
    storage: str, study: str, n_trials: int, *, seconds: float = 0.0, start: Barrier | None = None
) -> tuple[Trial, ...]:
    """Run a search in a process of its own, from the moment on at which all that share it are there."""
    search = quick_search(storage, study, seconds=seconds)
    if start is not None:
        start.wait()
    return search.run(n_trials, lambda _done, _total: None)
