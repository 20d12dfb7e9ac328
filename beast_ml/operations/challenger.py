"""Put a version beside the champion, where nothing that is under way would be disturbed."""

from __future__ import annotations

from pathlib import Path

from beast_ml.experiments.experiments_file import EXPERIMENTS_FILE, read_experiments
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.loop_runs import point_alias

__all__ = ["make_challenger"]


def make_challenger(version: int, tracking: TrackingConfig, state: Path) -> str | None:
    """Point the alias ``challenger`` at a version; return why not, where an experiment is about the one there is.

    Parameters
    ----------
    version
        Of the router.
    tracking
        The MLflow store.
    state
        Where the server keeps its experiments.
    """
    for each in read_experiments(state / EXPERIMENTS_FILE).running():
        if each.shadow == "challenger" or any(variant.policy == "challenger" for variant in each.variants):
            return f"experiment {each.id!r} is about the challenger there is: beast experiment stop {each.id}"
    point_alias(tracking, "challenger", version)
    return None
