"""The parts of ``report.json`` as plain values."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import numpy as np

from beast_ml.evaluation.bootstrap import Estimate
from beast_ml.evaluation.pool import Pool
from beast_ml.evaluation.routers import ROUTER, Entrants
from beast_ml.evaluation.routing_metrics import RIGHT_FROM, Scoreboard
from beast_ml.evaluation.scores import RouterScore
from beast_ml.evaluation.verdict import Verdict

__all__ = ["describe_routers", "describe_run", "package_versions"]

_UNITS: Final = {"cost_usd": "USD", "latency_s": "s", "none": None}
_PACKAGES: Final = ("beast-ml", "faiss-cpu", "numpy", "scikit-learn", "torch")


def describe_run(verdict: Verdict, pool: Pool, board: Scoreboard | None) -> dict[str, Any]:
    """Return the verdict, the pool and its single models, and how metrics were read where anything was scored."""
    run = {"verdict": verdict.to_dict(), "cost": {"kind": pool.cost, "unit": _UNITS[pool.cost]}}
    models = {"models": list(pool.models), "left_out": pool.left_out, "reference_model": verdict.model}
    if board is None:
        return {**run, "pool": models}
    quality, cost = board.singles.quality, board.singles.cost
    best = int(np.lexsort((cost[0], -quality[0]))[0])
    return {
        **run,
        "pool": {
            **models,
            "best_single_on_test": {
                "model": pool.models[best],
                "quality": Estimate.of(quality[:, best]).to_dict(),
                "cost": Estimate.of(cost[:, best]).to_dict(),
            },
        },
        "metrics": {
            "right_from_quality": RIGHT_FROM,
            "regret_at_willingness": "inf" if np.isinf(board.willingness) else board.willingness,
            "cost_range": [board.ranges[0].low, board.ranges[0].high],
        },
    }


def describe_routers(scores: Mapping[str, RouterScore], entrants: Entrants) -> dict[str, Any]:
    """Return every router's metrics, ours first, with the training evidence for its operating point."""
    if not scores:
        return {}
    routers: dict[str, Any] = {name: score.to_dict() for name, score in scores.items()}
    for router in (*entrants.deciding, *entrants.references):
        if router.point is not None:
            fields = router.point.__struct_fields__
            routers[router.name]["operating_point"] = {name: getattr(router.point, name) for name in fields}
    return {ROUTER: routers.pop(ROUTER), **routers}


def package_versions() -> dict[str, str]:
    """Return the versions of what results depend on, as far as it is installed."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
