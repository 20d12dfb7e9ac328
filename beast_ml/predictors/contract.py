"""What every predictor promises, and what fitting one returns.

A predictor speaks of every candidate at once: features (n, d) in, one column a candidate out. What is served is
numpy only; fitting may use any library. To add a target, write a module with a ``fit_...`` function that takes a
`TrainingSet` and returns a `Fitted`, and name it in `beast_ml.predictors.pool`. To add a family of models, write a
function that takes a `beast_ml.predictors.families.contract.Problem` and returns a `FamilyFit`, and name it in
`beast_ml.predictors.families.selection`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from beast_ml.executors import Executor, LocalExecutor
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.predictors.fit_memo import FitMemo

__all__ = [
    "FamilyScore",
    "Fitted",
    "Floats",
    "LoggedQuality",
    "P_co",
    "Predictor",
    "Progress",
    "Rows",
    "TrainingSet",
]

Floats = NDArray[np.float64]
"""An array of floats."""

Rows = NDArray[np.float32]
"""Feature rows, one a request."""

Progress = Callable[[str, int, int], None]
"""Called with (what is being fitted, steps done, steps in all)."""


class Predictor(Protocol):
    """Predicts one target for every candidate at once."""

    @property
    def models(self) -> tuple[str, ...]:
        """The m candidates, sorted."""
        ...

    def predict(self, rows: Rows) -> Floats:
        """Return (n, m) expected values for (n, d) features."""
        ...

    def interval(self, rows: Rows) -> tuple[Floats, Floats]:
        """Return the lower and upper ends, (n, m) each, of 90% intervals."""
        ...

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to be stored with a router bundle."""
        ...

    def calibration(self) -> dict[str, Any]:
        """Return the JSON-able numbers to be stored with a router bundle."""
        ...


@dataclass(frozen=True)
class LoggedQuality:
    """What a log really has of quality, where the training set has what a teacher made of it for every candidate.

    A teacher's targets are smooth, and owe something to every outcome: predictions that were learnt from them and are
    held to them, or to the outcomes behind them, look better than they are.

    Parameters
    ----------
    outcomes
        (n, m) logged qualities, NaN but for the model that answered.
    unseen
        (n, m) what the teacher expects, 0..1, having seen no outcome of the query's fold: what a predictor that is
        distilled from it would say of a new query.
    """

    outcomes: Floats
    unseen: Floats


@dataclass(frozen=True)
class TrainingSet:
    """Features, outcomes and folds of the same queries.

    Parameters
    ----------
    rows
        (n, d) float32 features.
    outcomes
        n queries x m models; NaN where nothing was observed.
    folds
        (n,) fold of each query, 0 .. k-1; the same question is always in the same fold.
    failed
        (n, m): 1.0 where the model failed, 0.0 where it answered, NaN where it was not called. None when the source
        does not speak of failures.
    kinds
        (n,) kind of each query (`beast_ml.features.kinds`), "" where none is known; None: no kinds are learnt.
    logged
        What quality is calibrated and judged on, where that of the outcomes is a teacher's; None: on the outcomes.
    memo
        What earlier fits on this training set left.
    executor
        Has fits that do not need each other made.
    """

    rows: Rows
    outcomes: OutcomeMatrix
    folds: NDArray[np.intp]
    failed: Floats | None = None
    kinds: NDArray[np.str_] | None = None
    logged: LoggedQuality | None = None
    memo: FitMemo = field(default_factory=FitMemo, repr=False, compare=False)
    executor: Executor = field(default_factory=LocalExecutor, repr=False, compare=False)


@dataclass(frozen=True)
class FamilyScore:
    """How one family of predictors did on a target, out of fold.

    Parameters
    ----------
    name
        The family.
    routing_error
        Mean squared error of what decisions look at; what families are chosen by.
    squared_error
        Mean squared error of all observed cells.
    chosen
        Whether it won.
    settings
        What cross-validation chose within the family.
    """

    name: str
    routing_error: float
    squared_error: float
    chosen: bool
    settings: Mapping[str, float]


P_co = TypeVar("P_co", covariant=True)
"""The predictor that was fitted."""


@dataclass(frozen=True)
class Fitted(Generic[P_co]):
    """A fitted predictor, and what it said of the training queries without having seen their question.

    Parameters
    ----------
    predictor
        Fitted on all training queries.
    out_of_fold
        (n, m) predictions, each by a model that did not see the query's fold.
    report
        Numbers about the fit (chosen shrinkage, losses), for tracking.
    learning_curve
        After each epoch: loss on training batches, and on held-out folds.
    families
        Every family that competed for the target, best first.
    undistilled
        (n, d) features -> (n, m) predictions of the family that won, before it was distilled into what is served; None
        where nothing was distilled. For comparison only: it may hold the whole training set.
    """

    predictor: P_co
    out_of_fold: Floats
    report: Mapping[str, float]
    learning_curve: tuple[tuple[float, float], ...] = ()
    families: tuple[FamilyScore, ...] = ()
    undistilled: Callable[[Rows], Floats] | None = None
