"""What the teacher reads of a request: kernel columns, and what kind of request it is likely to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.heads import softmax
from beast_ml.predictors.landmarks import LandmarkFeatures

__all__ = ["TeacherColumns"]

_LANDMARKS: Final = 192
_WEIGHT: Final = 2.0
_MIN_TASK_REQUESTS: Final = 20
_MAX_TASKS: Final = 32
_SAMPLE: Final = 20_000


@dataclass(frozen=True)
class TeacherColumns:
    """Kernel columns, and the posterior of the tasks that the log names, if it names any.

    Parameters
    ----------
    landmarks
        The kernel.
    coefficients, intercepts
        (k, t) and (t,) of a logistic regression of the task on the kernel columns; t = 0 without tasks.
    center
        (t,) mean posterior.
    """

    landmarks: LandmarkFeatures
    coefficients: Floats
    intercepts: Floats
    center: Floats

    @classmethod
    def fit(cls, rows: Rows, embedding_dim: int, tasks: NDArray[np.str_], rng: np.random.Generator) -> TeacherColumns:
        """Learn from (n, d) feature rows, whose first columns are an embedding, and (n,) tasks, "" where not known.

        A task counts with at least 20 requests; of more than 32 tasks, the most frequent do.
        """
        landmarks = LandmarkFeatures.fit(rows, embedding_dim, _LANDMARKS, rng)
        names, counts = np.unique(tasks[tasks != ""], return_counts=True)
        frequent = names[np.argsort(-counts, kind="stable")][:_MAX_TASKS]
        kept = np.flatnonzero(
            np.isin(tasks, [name for name in frequent if (tasks == name).sum() >= _MIN_TASK_REQUESTS])
        )
        nothing = cls(landmarks, np.zeros((landmarks.whitening.shape[1], 0)), np.zeros(0), np.zeros(0))
        if len(np.unique(tasks[kept])) < 2:
            return nothing
        from sklearn.linear_model import LogisticRegression

        sample = rng.choice(kept, min(len(kept), _SAMPLE), replace=False)
        columns = landmarks.transform(rows[sample])
        fitted = LogisticRegression(C=1.0, max_iter=1000, tol=1e-3).fit(columns, tasks[sample])
        # Of two classes there is one row of coefficients: the log odds of the second.
        weights, intercepts = fitted.coef_.T, fitted.intercept_
        if weights.shape[1] == 1:
            weights, intercepts = np.hstack([0.0 * weights, weights]), np.append(0.0, intercepts)
        return cls(landmarks, weights, intercepts, softmax(columns @ weights + intercepts).mean(axis=0))

    def transform(self, rows: Rows) -> Floats:
        """Return (n, k + t) columns of (n, d) feature rows."""
        columns = self.landmarks.transform(rows)
        if not len(self.intercepts):
            return columns
        posterior = softmax(columns @ self.coefficients + self.intercepts)
        return np.hstack([columns, _WEIGHT * (posterior - self.center)])
