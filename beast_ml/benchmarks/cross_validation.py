"""Every router of a set, cross-validated: all learn and choose on the training folds, all decide every query once.

Decisions of all folds of a seed are scored together, once, on all queries: one number a seed. Folds are no samples of
their own (their training data overlap, and a curve over few queries is biased), so no mean is taken over them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.fold_results import QUALITY_TARGETS, Decided, FoldResult, gather, join, read_fold
from beast_ml.benchmarks.folds import split
from beast_ml.benchmarks.results import LEARNING_CODE, PEER_CODE, code_digest, result_key
from beast_ml.evaluation.learner import Distilled, FittedLearner, Learner
from beast_ml.evaluation.routers import ROUTER, UNDISTILLED, Contest, embed_prompts
from beast_ml.features.encoder import Encoder
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.splits import Groups
from beast_ml.policy.learner import realised_cost
from beast_ml.policy.operating_point import best_single_model, choose_operating_point
from beast_ml.policy.utility import CostKind, Predictions, choose

__all__ = ["CrossValidation", "SeedResult", "cross_validate", "run_fold"]

Floats = NDArray[np.float64]

_BASELINES: Final = "baselines"


@dataclass(frozen=True)
class CrossValidation:
    """How to cross-validate.

    Parameters
    ----------
    n_folds, n_seeds
        Folds of each draw, and how often they are drawn.
    groups
        What is never on both sides.
    """

    n_folds: int = 5
    n_seeds: int = 3
    groups: Groups = "question"


@dataclass(frozen=True)
class SeedResult:
    """One draw of folds.

    Parameters
    ----------
    routers
        Every router on every query.
    reference
        The model that was the best single one of most training folds.
    seconds
        Router -> seconds to fit and decide, mean over folds.
    """

    routers: tuple[Decided, ...]
    reference: int
    seconds: dict[str, float]


def cross_validate(
    outcomes: OutcomeMatrix,
    cost: CostKind,
    protocol: CrossValidation,
    learner: Learner,
    encoder: Encoder,
    peers: Mapping[str, Learner],
    folder: Path,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Iterator[SeedResult]:
    """Yield the result of one seed after another.

    Parameters
    ----------
    outcomes
        The pool's outcomes.
    learner, peers
        What learns the router named ``beast``, and others by name. All are told apart by name and encoder only.
    folder
        Where every router's finished folds are kept, and found again by a later run with the same data, settings and
        code.
    progress
        Called with (folds done, folds in all), a fold once for each router.
    """
    entrants: dict[str, Learner | None] = {ROUTER: learner, _BASELINES: None, **peers}
    data, done, total = outcomes.digest(), 0, protocol.n_seeds * protocol.n_folds * len(entrants)
    for seed in range(protocol.n_seeds):
        folds = []
        for number, (train, test) in enumerate(split(outcomes, protocol.groups, protocol.n_folds, seed)):
            parts = []
            for name, entrant in entrants.items():
                settings = {
                    "data": data,
                    "protocol": [protocol.groups, protocol.n_folds, seed, number],
                    "cost": cost,
                    "encoder": encoder.hash,
                    "targets": QUALITY_TARGETS,
                    "code": code_digest((*LEARNING_CODE, *(PEER_CODE if name in peers else ()))),
                }
                path = folder / f"{protocol.groups}-{seed}-{number}-{name}-{result_key(settings)}.npz"
                if not path.is_file():
                    run_fold(outcomes, train, test, cost, seed, name, entrant, encoder).write(path)
                # Read even what was just written: a run that goes on then agrees with one that never stopped.
                parts.append(read_fold(path))
                done += 1
                progress(done, total)
            folds.append(join(parts))
        references = np.bincount([fold.reference for fold in folds])
        seconds = {name: float(np.mean([fold.seconds[name] for fold in folds])) for name in folds[0].seconds}
        yield SeedResult(gather(folds, outcomes.n_queries), int(references.argmax()), seconds)


def run_fold(
    outcomes: OutcomeMatrix,
    train: NDArray[np.bool_],
    test: NDArray[np.bool_],
    cost: CostKind,
    seed: int,
    name: str,
    learner: Learner | None,
    encoder: Encoder,
) -> FoldResult:
    """Return what a router learned on the training queries and decided for the test queries.

    A learner that serves a smaller version of what it learned is measured before that as well.

    Without a learner these are the baselines: the tuned nearest neighbours, the best model per task as the prompt lets
    guess it, and the best model per true task, which sees more than a router may.
    """
    learning, deciding = outcomes.rows(train), outcomes.rows(test)
    chooser = _Chooser(learning.quality, realised_cost(learning, cost))
    start = time.perf_counter()
    if learner is not None:
        fitted: FittedLearner = learner.fit(learning, cost, seed)
        routers = [chooser.decide(name, fitted.out_of_fold, fitted.predict(deciding.prompts, None))]
        if isinstance(fitted, Distilled):
            whole = fitted.undistilled
            routers.append(chooser.decide(UNDISTILLED, whole.out_of_fold, whole.predict(deciding.prompts, None)))
        seconds = {name: time.perf_counter() - start}
    else:
        vectors = embed_prompts(encoder, learning.prompts, deciding.prompts)
        contest = Contest(learning, deciding, *vectors, cost, seed)
        neighbours, tuned = contest.neighbours()
        routers = [chooser.decide("knn", tuned.out_of_fold, neighbours.predictions)]
        seconds = {"knn": time.perf_counter() - start}
        if len(np.unique(learning.tasks)) > 1:
            for true_task in (False, True):
                by_task = contest.best_per_task(true_task=true_task)
                routers.append(Decided(by_task.name, by_task.predictions, {"100": by_task.operating}))
    return FoldResult(np.flatnonzero(test), chooser.reference, tuple(routers), seconds)


@dataclass(frozen=True)
class _Chooser:
    """Chooses operating points on the training data of a fold."""

    quality: Floats
    cost: Floats

    @property
    def reference(self) -> int:
        return best_single_model(self.quality, self.cost)

    def decide(self, name: str, out_of_fold: Predictions, predictions: Predictions) -> Decided:
        operating = {}
        for target, share in QUALITY_TARGETS.items():
            point = choose_operating_point(out_of_fold, self.quality, self.cost, quality_target=share)
            if point.willingness_to_pay is None:
                single = predictions.models.index(point.model)
                chosen = np.full(len(predictions.quality), single, dtype=np.int16)
            else:
                chosen = choose(predictions, point.willingness_to_pay).astype(np.int16)
            operating[target] = chosen
        return Decided(name, predictions, operating)
