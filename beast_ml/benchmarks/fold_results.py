"""What every router said and decided in one fold, and the file it is kept in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.results import write_arrays
from beast_ml.policy.utility import CostRange, Predictions

__all__ = ["QUALITY_TARGETS", "Decided", "FoldResult", "Target", "gather", "join", "read_fold"]

Floats = NDArray[np.float64]
Choices = NDArray[np.int16]
Target = str
"""What is predicted, such as ``quality``."""

QUALITY_TARGETS: Final[dict[Target, float]] = {"100": 1.0, "99": 0.99, "95": 0.95}
"""Shares of the best single model's quality to which operating points are held, in percent as figures name them."""


@dataclass(frozen=True)
class Decided:
    """One router on n test queries.

    Parameters
    ----------
    name
        The router.
    predictions
        (n, m) what it expects.
    operating
        Target -> (n,) models chosen at the operating point for it, which was chosen on training data.
    """

    name: str
    predictions: Predictions
    operating: dict[Target, Choices]


@dataclass(frozen=True)
class FoldResult:
    """One fold.

    Parameters
    ----------
    queries
        (n,) positions of its test queries.
    reference
        Index of the best single model of its training data.
    routers
        Every router that predicts.
    seconds
        Router -> seconds it took to fit and decide.
    """

    queries: NDArray[np.intp]
    reference: int
    routers: tuple[Decided, ...]
    seconds: dict[str, float]

    def write(self, path: Path) -> None:
        """Write the fold into a file, whole or not at all."""
        about = {
            "reference": self.reference,
            "models": self.routers[0].predictions.models,
            "routers": {router.name: sorted(router.operating) for router in self.routers},
            "seconds": self.seconds,
        }
        arrays: dict[str, NDArray[Any]] = {"about": np.array(json.dumps(about)), "queries": self.queries}
        for i, router in enumerate(self.routers):
            # Single precision is plenty for what is compared with outcomes, and halves the file.
            arrays[f"quality_{i}"] = router.predictions.quality.astype(np.float32)
            arrays[f"cost_{i}"] = router.predictions.cost.astype(np.float32)
            if router.predictions.cost_range is not None:
                arrays[f"cost_range_{i}"] = np.stack(router.predictions.cost_range).astype(np.float32)
            arrays |= {f"operating_{i}_{target}": chosen for target, chosen in router.operating.items()}
        write_arrays(path, **arrays)


def read_fold(path: Path) -> FoldResult:
    """Return what `FoldResult.write` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        about = json.loads(str(stored["about"]))
        models = tuple(about["models"])
        routers = tuple(
            Decided(
                name,
                Predictions(
                    models,
                    stored[f"quality_{i}"].astype(float),
                    stored[f"cost_{i}"].astype(float),
                    CostRange(*stored[f"cost_range_{i}"].astype(float)) if f"cost_range_{i}" in stored else None,
                ),
                {target: stored[f"operating_{i}_{target}"] for target in targets},
            )
            for i, (name, targets) in enumerate(about["routers"].items())
        )
        return FoldResult(stored["queries"], about["reference"], routers, about["seconds"])


def join(parts: Sequence[FoldResult]) -> FoldResult:
    """Return one fold of the routers of several results for the same test queries."""
    return replace(
        parts[0],
        routers=tuple(router for part in parts for router in part.routers),
        seconds={name: seconds for part in parts for name, seconds in part.seconds.items()},
    )


def gather(folds: Sequence[FoldResult], n_queries: int) -> tuple[Decided, ...]:
    """Return every router on all n queries: each query as the fold that tested it decided it.

    Raises
    ------
    ValueError
        If the folds do not test every query just once.
    """
    tested = np.concatenate([fold.queries for fold in folds])
    if not np.array_equal(np.sort(tested), np.arange(n_queries)):
        raise ValueError(f"{len(tested)} queries were tested in {len(folds)} folds, {n_queries} must be, once each")
    order = np.argsort(tested)
    gathered = []
    for parts in zip(*(fold.routers for fold in folds), strict=True):
        said = [part.predictions for part in parts]
        ranges = [one.cost_range for one in said if one.cost_range is not None]
        predictions = Predictions(
            said[0].models,
            np.concatenate([one.quality for one in said])[order],
            np.concatenate([one.cost for one in said])[order],
            CostRange(*(np.concatenate(ends)[order] for ends in zip(*ranges, strict=True))) if ranges else None,
        )
        operating = {
            target: np.concatenate([part.operating[target] for part in parts])[order] for target in parts[0].operating
        }
        gathered.append(Decided(parts[0].name, predictions, operating))
    return tuple(gathered)
