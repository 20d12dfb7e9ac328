"""What a family is given and what it answers: a problem in, out-of-fold predictions and a way to predict out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from beast_ml.executors import Executor, LocalExecutor
from beast_ml.predictors.contract import Floats, Progress, Rows
from beast_ml.predictors.fit_memo import FitMemo
from beast_ml.predictors.heads import CLIP
from beast_ml.predictors.network import standardise_by
from beast_ml.predictors.shrinkage import PRIOR_QUERIES

__all__ = ["FamilyFit", "KindPosterior", "Loss", "Problem", "silent"]

Loss = Literal["probability", "squared"]
"""What a family minimises."""


def silent(label: str, step: int, total: int) -> None:
    """Say nothing of the progress."""


@dataclass(frozen=True)
class KindPosterior:
    """What a classifier of request kinds knows.

    Parameters
    ----------
    labels
        (n,) position of each row's kind, -1 where it is not known.
    out_of_fold
        (n, k) probabilities of the kinds, each by a classifier that did not see the row's fold.
    predict
        (q, d) features -> (q, k) probabilities.
    """

    labels: NDArray[np.intp]
    out_of_fold: Floats
    predict: Callable[[Rows], Floats]


@dataclass(frozen=True)
class Problem:
    """One target of every candidate, to be predicted from features.

    Parameters
    ----------
    rows
        (n, d) float32 features.
    targets
        (n, m); NaN cells were not observed. In 0..1 for ``loss="probability"``.
    folds
        (n,) fold of each row, 0 .. k-1; the same question is always in the same fold.
    loss
        "probability" or "squared".
    tasks, n_tasks
        (n,) task of each row, and how many there are; a single task tells nothing.
    task_kinds
        (n_tasks,) position of the kind that each task is of, -1 where none is known; None: nothing is known of kinds.
    kinds
        What a classifier says of the kind of a row, where there is one.
    prior_queries
        Means of few rows are shrunk as if by so many more.
    label
        What the target is called in progress bars.
    progress
        Called with (what, steps done, steps in all).
    memo
        What earlier fits on the same rows and folds left.
    executor
        Has fits that do not need each other made; the result is the same, to the bit, whichever it is.
    """

    rows: Rows
    targets: Floats
    folds: NDArray[np.intp]
    loss: Loss
    tasks: NDArray[np.intp]
    n_tasks: int = 1
    task_kinds: NDArray[np.intp] | None = None
    kinds: KindPosterior | None = None
    prior_queries: float = PRIOR_QUERIES
    label: str = "target"
    progress: Progress = field(default=silent)
    memo: FitMemo = field(default_factory=FitMemo, repr=False, compare=False)
    executor: Executor = field(default_factory=LocalExecutor, repr=False, compare=False)

    @cached_property
    def targets_digest(self) -> str:
        """What parts of fits are remembered by: a problem with other targets may come with the same memo."""
        return hashlib.blake2b(np.ascontiguousarray(self.targets).tobytes(), digest_size=16).hexdigest()

    @cached_property
    def standardisation(self) -> tuple[Rows, Rows]:
        """Center and scale of the features, (d,) each: every head of a pool uses the same."""
        return standardise_by(self.rows)

    @cached_property
    def inputs(self) -> Floats:
        """(n, d) standardised features, as `standardise` gives them."""
        return self.standardise(self.rows)

    def standardise(self, rows: Rows) -> Floats:
        """Return features standardised and clipped, as every served head does it."""
        center, scale = self.standardisation
        return np.asarray(np.clip((rows - center) * scale, -CLIP, CLIP), dtype=np.float64)

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """(n, m) which cells were observed."""
        return ~np.isnan(self.targets)

    @property
    def fold_ids(self) -> NDArray[np.intp]:
        """The folds there are."""
        return np.unique(self.folds)

    def bounded(self, predicted: Floats) -> Floats:
        """Return predictions within the range of the targets: 0..1 for probabilities."""
        return np.clip(predicted, 0.0, 1.0) if self.loss == "probability" else predicted


@dataclass(frozen=True)
class FamilyFit:
    """One fitted family.

    Parameters
    ----------
    name
        The family.
    out_of_fold
        (n, m) predictions for the training rows, each by a fit that did not see the row's fold; on the scale of the
        targets.
    predict
        (n, d) features -> (n, m) predictions by the fit on all rows; training only, never served.
    settings
        What cross-validation chose within the family.
    learning_curve
        Mean loss on training batches and on held-out rows after each epoch, for families that learn by steps.
    """

    name: str
    out_of_fold: Floats
    predict: Callable[[Rows], Floats]
    settings: Mapping[str, float] = field(default_factory=dict)
    learning_curve: tuple[tuple[float, float], ...] = ()
