"""Who is tested when: folds over questions, or over whole tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import NotEnoughDataError
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.splits import normalise_question, query_fold

__all__ = ["GROUPS", "Groups", "split"]

Groups = Literal["question", "task"]
"""What is never on both sides: a question, or a task with all its questions."""

GROUPS: Final[tuple[Groups, ...]] = ("question", "task")

# Learners cut their training data into folds of the same kind. With the same seed theirs would be ours, one of them
# empty: the outer draw has seeds of its own.
_OUTER_SEED: Final = 1_000_003


def split(
    outcomes: OutcomeMatrix, groups: Groups, n_folds: int, seed: int
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yield (train, test) masks of the queries, one pair a fold; every query is tested once.

    With tasks as groups, a question that another task asks too is left out of training while it is tested.

    Raises
    ------
    NotEnoughDataError
        If there are fewer tasks than folds.
    """
    if groups == "question":
        folds = query_fold(outcomes.prompts, n_folds, _OUTER_SEED + seed)
    else:
        folds = _task_folds(outcomes.tasks, n_folds, np.random.default_rng([_OUTER_SEED, seed]))
    questions = np.array([normalise_question(prompt) for prompt in outcomes.prompts], dtype=object)
    for fold in range(n_folds):
        test = folds == fold
        if test.any():
            yield ~test & ~_among(questions, set(questions[test])), test


def _task_folds(tasks: NDArray[np.str_], n_folds: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return the fold of each query: tasks in random order, each into the fold that is smallest so far."""
    names, index, sizes = np.unique(tasks, return_inverse=True, return_counts=True)
    if len(names) < n_folds:
        raise NotEnoughDataError(f"{len(names)} tasks cannot fill {n_folds} folds: use at most {len(names)}")
    fold_of, filled = np.empty(len(names), dtype=np.intp), np.zeros(n_folds)
    for task in rng.permutation(len(names)):
        fold_of[task] = filled.argmin()
        filled[fold_of[task]] += sizes[task]
    return fold_of[index]


def _among(questions: NDArray[np.object_], known: set[str]) -> NDArray[np.bool_]:
    return np.fromiter((question in known for question in questions), dtype=bool, count=len(questions))
