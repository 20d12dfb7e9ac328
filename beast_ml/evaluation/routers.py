"""Every router of a run: the learned ones, their baselines, and references that see more than a router may."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.decisions import RouterDecisions, decide
from beast_ml.evaluation.learner import Distilled, FittedLearner
from beast_ml.features.boilerplate import find_boilerplate, strip_boilerplate
from beast_ml.features.encoder import Encoder
from beast_ml.logs.outcomes import ContextKey, OutcomeMatrix
from beast_ml.logs.splits import query_fold
from beast_ml.policy.baselines import (
    TaskMeans,
    cross_fit_task_means,
    model_means,
    predict_tasks,
    random_mix,
    weak_and_strong,
)
from beast_ml.policy.learner import realised_cost
from beast_ml.policy.neighbours import NeighbourRouter, tune_neighbours
from beast_ml.policy.utility import CostKind, Predictions

__all__ = ["ROUTER", "UNDISTILLED", "Contest", "Entrants", "embed_prompts"]

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]

ROUTER: Final = "beast"
"""The name of the router under evaluation."""

UNDISTILLED: Final = "beast_undistilled"
"""The same router before its predictors were distilled into what is served: a reference."""

_PROMPT_ONLY: Final = "prompt"
_FOLDS: Final = 5


def embed_prompts(encoder: Encoder, train: Sequence[str], test: Sequence[str]) -> tuple[Vectors, Vectors]:
    """Return the vectors of training and test prompts, without the lines that many training prompts share."""
    boilerplate = find_boilerplate(train)
    texts = [strip_boilerplate(prompt, boilerplate)[0] for prompt in (*train, *test)]
    vectors = encoder.encode(texts)
    return vectors[: len(train)], vectors[len(train) :]


@dataclass(frozen=True)
class Entrants:
    """The routers of a run.

    Parameters
    ----------
    ours
        The router under evaluation.
    learned
        All routers whose predictions vary with the query and read only what they may; ``ours`` first.
    unlearned
        A coin, and every single model.
    references
        Routers that read more of the test data than they may, or are not served: to be scored, not to decide.
    notes
        What there is to say about them.
    """

    ours: RouterDecisions
    learned: tuple[RouterDecisions, ...]
    unlearned: tuple[RouterDecisions, ...]
    references: tuple[RouterDecisions, ...]
    notes: tuple[str, ...]

    @property
    def deciding(self) -> tuple[RouterDecisions, ...]:
        """The routers whose decisions are written down: those that have a trade-off to make."""
        return tuple(router for router in (*self.learned, *self.unlearned) if len(router.willingness))


@dataclass(frozen=True)
class Contest:
    """One training set, the test prompts, and what every router of a run may read of them.

    Parameters
    ----------
    train
        Training outcomes of the pool.
    test
        Test outcomes of the pool. Only query ids and prompts are read; of their contexts, what is said.
    train_vectors, test_vectors
        Embeddings of the prompts.
    cost
        Kind of cost.
    seed
        Draws of folds and lots.
    context
        What learned routers may read of a test query beside its prompt.
    quality_target
        Of the operating points.
    """

    train: OutcomeMatrix
    test: OutcomeMatrix
    train_vectors: Vectors
    test_vectors: Vectors
    cost: CostKind
    seed: int
    context: tuple[ContextKey, ...] = ()
    quality_target: float = 1.0

    @property
    def _folds(self) -> NDArray[np.intp]:
        return query_fold(self.train.prompts, _FOLDS, self.seed)

    @property
    def _train_cost(self) -> Floats:
        return realised_cost(self.train, self.cost)

    @property
    def reads(self) -> str:
        """What a learned router reads of a test query."""
        return ", ".join((_PROMPT_ONLY, *self.context))

    @property
    def _reads_task(self) -> bool:
        return "task" in self.context

    def run(self, ours: FittedLearner, peers: Mapping[str, FittedLearner]) -> Entrants:
        """Return the decisions of all routers."""
        first = self.learned(ROUTER, ours)
        learned = [first, *(self.learned(name, peer) for name, peer in peers.items())]
        neighbours, tuned = self.neighbours()
        learned.append(neighbours)
        notes = [f"knn: k = {tuned.k}, {tuned.metric}, tuned on the training data"]
        references = []
        if isinstance(ours, Distilled):
            references.append(self.learned(UNDISTILLED, ours.undistilled))
        if len(np.unique(self.train.tasks)) > 1:
            learned.append(self.best_per_task(true_task=self._reads_task))
            if not self._reads_task:
                references.append(self.best_per_task(true_task=True))
        else:
            notes.append("best_per_task: left out, the training data hold one task only")
        unlearned = (self.random(first.willingness), *self.singles())
        return Entrants(first, tuple(learned), unlearned, tuple(references), tuple(notes))

    def learned(self, name: str, fitted: FittedLearner) -> RouterDecisions:
        """Return the decisions of a fitted learner."""
        predictions = fitted.predict(self.test.prompts, self.test.contexts(self.context) if self.context else None)
        return self._decide(name, self.reads, fitted.out_of_fold, predictions)

    def neighbours(self) -> tuple[RouterDecisions, NeighbourRouter]:
        """Return the decisions of the tuned nearest-neighbour router, and the router."""
        router = tune_neighbours(
            self.train.models, self.train_vectors, self.train.quality, self._train_cost, self._folds
        )
        predictions = router.predict(self.test_vectors)
        return self._decide("knn", _PROMPT_ONLY, router.out_of_fold, predictions), router

    def best_per_task(self, *, true_task: bool) -> RouterDecisions:
        """Return the decisions of the task means, by the true task or by a guess from the prompt."""
        train, folds = self.train, self._folds
        if true_task:
            name = "best_per_task" if self._reads_task else "best_per_true_task"
            reads, tasks, test_tasks = "task", train.tasks, self.test.tasks
        else:
            name, reads = "best_per_task", f"{_PROMPT_ONLY} (from which the task is guessed)"
            # Means are taken by guessed task, each guess out of fold: they then know how often guesses are wrong.
            tasks = np.empty_like(train.tasks)
            for fold in np.unique(folds):
                held_out = folds == fold
                tasks[held_out] = predict_tasks(
                    self.train_vectors[~held_out], train.tasks[~held_out], self.train_vectors[held_out]
                )
            test_tasks = predict_tasks(self.train_vectors, train.tasks, self.test_vectors)
        out_of_fold = cross_fit_task_means(train.models, tasks, train.quality, self._train_cost, folds)
        means = TaskMeans.fit(train.models, tasks, train.quality, self._train_cost)
        return self._decide(name, reads, out_of_fold, means.predict(test_tasks))

    def random(self, willingness: Floats) -> RouterDecisions:
        """Return a coin between the cheapest and the best model of the training data.

        As the willingness to pay walks through its grid, the share of calls to the best model goes evenly from 0
        to 1. The operating point is the fair coin.
        """
        weak, strong = weak_and_strong(self.train.quality, self._train_cost)
        shares = np.append(np.linspace(0.0, 1.0, len(willingness)), 0.5)
        rng = np.random.default_rng([self.seed, 1])
        choices = random_mix(weak, strong, shares, self.test.n_queries, rng).astype(np.int16)
        return RouterDecisions("random", "nothing", willingness, choices[:-1], choices[-1], None, self._means())

    def singles(self) -> list[RouterDecisions]:
        """Return each model of the pool answering everything."""
        means, n = self._means(), self.test.n_queries
        none = np.zeros((0, n), dtype=np.int16)
        return [
            RouterDecisions(f"single:{model}", "nothing", np.zeros(0), none, np.full(n, i, dtype=np.int16), None, means)
            for i, model in enumerate(self.train.models)
        ]

    def _means(self) -> Predictions:
        shape = (self.test.n_queries, len(self.train.models))
        quality = np.broadcast_to(model_means(self.train.quality), shape)
        return Predictions(self.train.models, quality, np.broadcast_to(model_means(self._train_cost), shape))

    def _decide(self, name: str, reads: str, out_of_fold: Predictions, predictions: Predictions) -> RouterDecisions:
        return decide(name, reads, out_of_fold, predictions, self.train.quality, self._train_cost, self.quality_target)
