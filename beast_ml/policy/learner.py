"""From outcomes to a router: features, predictors and an operating point, all chosen on training data."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from beast_ml.domain import Price
from beast_ml.errors import DataError, InputError, NotEnoughDataError
from beast_ml.executors import Executor, LocalExecutor
from beast_ml.features.distill import Progress as EncoderProgress
from beast_ml.features.distill import static_encoder
from beast_ml.features.encoder import Encoder
from beast_ml.features.hashing import HashingEncoder
from beast_ml.features.history import History, HistoryState
from beast_ml.features.history_replay import LoggedHistory
from beast_ml.features.kinds import KIND_TABLE, KindTable
from beast_ml.features.sentence import SentenceEncoder
from beast_ml.features.spec import FeatureBuilder, FeatureSpec
from beast_ml.features.tuning import TUNED, tune_features
from beast_ml.logs.outcomes import ContextKey, OutcomeMatrix
from beast_ml.logs.splits import Groups, query_fold, task_fold
from beast_ml.policy.exploration import Exploration
from beast_ml.policy.operating_point import OperatingPoint, choose_operating_point
from beast_ml.policy.utility import CostKind, CostRange, Predictions
from beast_ml.predictors.contract import Floats, LoggedQuality, Progress, Rows, TrainingSet
from beast_ml.predictors.fit_memo import FitMemo
from beast_ml.predictors.pool import POOL_FAMILIES, Expected, FittedPool, PoolFamilies, fit_pool

__all__ = ["ENCODERS", "EncoderName", "FittedRouter", "RouterLearner", "UndistilledRouter", "get_encoder"]

EncoderName = Literal["static", "tuned", "minilm", "hashing"]
"""Encoders that can be chosen by name."""

ENCODERS: Final[tuple[EncoderName, ...]] = ("static", "tuned", "minilm", "hashing")
"""All of `EncoderName`."""

_N_FOLDS: Final = 5
_MIN_QUERIES: Final = 50

Context = Mapping[str, str]


def get_encoder(name: EncoderName, progress: EncoderProgress | None = None) -> Encoder:
    """Return an encoder by name: "static" (distilled on first use), "minilm", or "hashing" (needs no weights).

    "tuned" is the static one under that name: what `RouterLearner` starts from, before it has seen an outcome.
    """
    if name == "static":
        return static_encoder(progress=progress)
    if name == TUNED:
        return replace(static_encoder(progress=progress), name=TUNED)
    if name == "minilm":
        return SentenceEncoder.minilm()
    if name == "hashing":
        return HashingEncoder()
    raise InputError(f"`encoder` == {name!r}, must be one of {', '.join(ENCODERS)}")


@dataclass(frozen=True)
class FittedRouter:
    """Everything a router bundle is made of, and what it said of its own training queries.

    Parameters
    ----------
    features
        Builds feature rows.
    pool
        Fitted predictors with their out-of-fold predictions.
    cost
        What plays the part of cost.
    operating_point
        Chosen on out-of-fold predictions.
    context
        What it may read of a request beside its text.
    training
        The outcomes it was fitted on.
    history
        What was known when the training log ended, where the features have a history.
    exploration
        How it is to explore when it serves; None: not at all.
    """

    features: FeatureBuilder
    pool: FittedPool
    cost: CostKind
    operating_point: OperatingPoint
    context: tuple[ContextKey, ...]
    training: OutcomeMatrix
    history: HistoryState | None = None
    exploration: Exploration | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """The m candidates, sorted."""
        return self.pool.predictors.models

    @property
    def out_of_fold(self) -> Predictions:
        """(n, m) predictions for the training queries, each made without having seen its question."""
        return _as_predictions(self.models, self.pool.out_of_fold, self.cost)

    def rows(
        self, prompts: Sequence[str], contexts: Sequence[Context] | None = None, history_rows: Rows | None = None
    ) -> Rows:
        """Return feature rows of new prompts; see `predict`."""
        if history_rows is None and self.features.spec.history is not None:
            history = History(self.features.spec.history, self.history)
            known = contexts if contexts is not None else [{}] * len(prompts)
            end = [history.features("", context.get("task"), at_us=sys.maxsize) for context in known]
            history_rows = np.array(end, dtype=np.float32).reshape(len(prompts), history.spec.dim)
        return self.features.matrix(prompts, contexts, history_rows)

    def predict(
        self, prompts: Sequence[str], contexts: Sequence[Context] | None = None, history_rows: Rows | None = None
    ) -> Predictions:
        """Return (n, m) predictions for new prompts.

        Parameters
        ----------
        prompts
            The n texts.
        contexts
            What is known of each; keys that it was not fitted with are not read, one that is missing is unknown.
        history_rows
            (n, k) history features, where it was fitted with some; default: those of a tenant nobody has heard of,
            right after the training log.
        """
        rows = self.rows(prompts, contexts, history_rows)
        predictors = self.pool.predictors
        predictions = _as_predictions(self.models, predictors.predict(rows), self.cost)
        amounts = {"cost_usd": predictors.cost, "latency_s": predictors.latency, "none": None}[self.cost]
        if amounts is None:
            return predictions
        low, high = amounts.interval(rows)
        return replace(predictions, cost_range=CostRange(low, amounts.typical(rows), high))

    @property
    def undistilled(self) -> UndistilledRouter:
        """The same router before its predictors were distilled: what the distillation lost is the difference."""
        return UndistilledRouter(self)


@dataclass(frozen=True)
class UndistilledRouter:
    """A fitted router that decides by the families that won, for comparison; nothing serves them."""

    fitted: FittedRouter

    @property
    def models(self) -> tuple[str, ...]:
        """The m candidates, sorted."""
        return self.fitted.models

    @property
    def out_of_fold(self) -> Predictions:
        """(n, m) predictions for the training queries: those that the distilled router is judged by, too."""
        return self.fitted.out_of_fold

    def predict(self, prompts: Sequence[str], contexts: Sequence[Context] | None = None) -> Predictions:
        """Return (n, m) predictions for new prompts; see `FittedRouter.predict`."""
        rows = self.fitted.rows(prompts, contexts)
        return _as_predictions(self.models, self.fitted.pool.undistilled(rows), self.fitted.cost)


@dataclass(frozen=True)
class RouterLearner:
    """Fits routers on outcomes.

    Parameters
    ----------
    encoder
        Name of the encoder.
    prices
        Token prices of candidates, where they are known from elsewhere than the recorded costs.
    kinds
        Which task is of which kind.
    progress
        Called with (what, steps done, steps in all) while fitting.
    families
        Which families of predictors compete.
    groups
        What later requests will be, and so what is held out together in cross-validation: other questions of the tasks
        that the training data have, or other tasks.
    context
        What may be read of a request beside its text, where it is known: its task, the app that asks.
    quality_target
        Share of the best single model's quality that the operating point must reach, (0, 1].
    exploration
        How routers are to explore what a log has left open, when they serve; None: not at all.
    executor
        Has features and fits made by part; the router is the same whichever it is.
    """

    encoder: EncoderName = "static"
    prices: Mapping[str, Price] | None = None
    kinds: KindTable = KIND_TABLE
    progress: Progress | None = None
    families: PoolFamilies = POOL_FAMILIES
    groups: Groups = "question"
    context: tuple[ContextKey, ...] = ()
    quality_target: float = 1.0
    exploration: Exploration | None = None
    executor: Executor = field(default_factory=LocalExecutor, repr=False, compare=False)

    def fit(
        self,
        train: OutcomeMatrix,
        cost: CostKind = "cost_usd",
        seed: int = 0,
        failed: Floats | None = None,
        history: LoggedHistory | None = None,
        logged: LoggedQuality | None = None,
        memo: FitMemo | None = None,
    ) -> FittedRouter:
        """Fit features, predictors and the operating point.

        Parameters
        ----------
        train
            Outcomes; NaN cells are unknown.
        cost
            What plays the part of cost; its column must hold something for every model.
        seed
            Of the folds and the networks.
        failed
            (n, m) failures, for `beast_ml.predictors.reliability`.
        history
            What was known before each of the n requests, where the outcomes come from a log
            (`beast_ml.features.history_replay.logged_history`).
        logged
            What quality is calibrated on, where that of ``train`` is a teacher's.
        memo
            What earlier fits left that were given the same, of learners that differ in families and quality target
            alone; this fit adds to it.

        Raises
        ------
        InputError
            If the history is not of these requests, or goes by kind and the task may not be read.
        DataError
            If the training data do not know what may be read.
        NotEnoughDataError
            With fewer than two models, fewer than 50 queries, or a model without a single outcome.
        """
        _check(train, cost)
        contexts = train.contexts(self.context)
        for key in self.context:
            if not any(key in context for context in contexts):
                raise DataError(
                    f"the training data name no {key}: do not read it (--use-{key}), or give data with `{key}`"
                )
        if history is not None and "kind" in history.spec.by and "task" not in self.context:
            raise InputError('the history goes by "kind", which is the task: read the task, or leave it out of `by`')
        if self.groups == "task":
            folds = task_fold(train.tasks, _N_FOLDS, seed)
        else:
            folds = query_fold(train.prompts, _N_FOLDS, seed)
        if len(np.unique(folds)) < _N_FOLDS:
            raise NotEnoughDataError(
                f"the {train.n_queries} queries are only {len(set(train.prompts))} different questions: "
                f"at least {_MIN_QUERIES} are needed to learn and to check what was learnt"
            )
        memo = memo or FitMemo()
        features, rows = memo.of("features", lambda: self._features(train, folds, seed, history))
        data = TrainingSet(rows, train, folds, failed, self.kinds.labels(train.tasks), logged, memo, self.executor)
        pool = fit_pool(data, np.random.default_rng(seed), self.prices, self.progress, self.families)
        out_of_fold = _as_predictions(train.models, pool.out_of_fold, cost)
        point = choose_operating_point(out_of_fold, train.quality, realised_cost(train, cost), self.quality_target)
        end = history.end if history else None
        return FittedRouter(features, pool, cost, point, self.context, train, end, self.exploration)

    def _features(
        self, train: OutcomeMatrix, folds: NDArray[np.intp], seed: int, history: LoggedHistory | None
    ) -> tuple[FeatureBuilder, Rows]:
        contexts, encoder = train.contexts(self.context), self.load_encoder()
        followed = history.spec if history else None
        spec = FeatureSpec.learn(encoder, train.prompts, contexts, self.context, followed)
        features = FeatureBuilder(spec, encoder)
        rows = features.matrix(train.prompts, contexts, history.rows if history else None, self.executor)
        if self.encoder != TUNED:
            return features, rows
        tuned = tune_features(features, rows, train, folds, np.random.default_rng([seed, 1]), self.progress)
        return tuned.features, tuned.rows

    def load_encoder(self) -> Encoder:
        """Return the encoder that features are built with."""
        return get_encoder(self.encoder, self.encoder_progress())

    def encoder_progress(self) -> Callable[[int, int], None] | None:
        """Return the progress callback in the form that `get_encoder` takes."""
        progress = self.progress
        if progress is None:
            return None
        return lambda done, total: progress("distilling the encoder", done, total)


def realised_cost(outcomes: OutcomeMatrix, cost: CostKind) -> Floats:
    """Return the (n, m) realised costs in the unit of a cost kind; zeros for "none"."""
    if cost == "none":
        return np.zeros_like(outcomes.quality)
    return outcomes.cost_usd if cost == "cost_usd" else outcomes.latency_s


def _as_predictions(models: tuple[str, ...], expected: Expected, cost: CostKind) -> Predictions:
    amounts = {"cost_usd": expected.cost_usd, "latency_s": expected.latency_s, "none": None}[cost]
    return Predictions(models, expected.quality, np.zeros_like(expected.quality) if amounts is None else amounts)


def _check(train: OutcomeMatrix, cost: CostKind) -> None:
    if len(train.models) < 2:
        raise NotEnoughDataError(
            f"the pool has {len(train.models)} model ({', '.join(train.models)}), "
            "a router needs at least two to choose from"
        )
    if train.n_queries < _MIN_QUERIES:
        raise NotEnoughDataError(f"{train.n_queries} queries to learn from, at least {_MIN_QUERIES} are needed")
    for values, what in ((train.quality, "quality"), (realised_cost(train, cost), cost)):
        empty = [name for name, column in zip(train.models, values.T, strict=True) if np.isnan(column).all()]
        if empty:
            raise NotEnoughDataError(
                f"no {what} of model {empty[0]!r} in the training data: "
                f"leave the model out of the pool, or log its {what}"
            )
