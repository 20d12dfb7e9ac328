"""One search: trials on inner folds of some outcomes, the defaults first, hopeless ones pruned after a fold.

Where only the gain over the defaults is asked for, trials are pruned that will hardly be found to beat them, too. The
search then costs about half, and its frontier has fewer points.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.logs.splits import query_fold, question_numbers
from beast_ml.operations.router_tuning.fold_scores import FoldScores, FoldTask
from beast_ml.operations.router_tuning.search_space import SearchSpace
from beast_ml.operations.router_tuning.storage import (
    PROCESS,
    begun_study,
    fail_trials_of_dead_processes,
    process_name,
)
from beast_ml.operations.router_tuning.worth import gain_with_error
from beast_ml.policy.learner_settings import LearnerSettings

__all__ = ["RouterSearch", "Trial", "best_of", "chance_of_a_find"]

_INNER_SEED: Final = 2_000_003  # learners cut their training data with the seed itself: theirs must not be ours
_FOLD: Final = "fold {}"
_ALPHA: Final = 0.05
_LEAST_CHANCE: Final = 0.05
"""A trial with less is given up: by simulation (the tests), which loses less than 3% of those that would be found."""

Advance = Callable[[int, int], None]


@dataclass(frozen=True)
class Trial:
    """What came of some settings on the inner folds.

    Parameters
    ----------
    number
        In its study.
    settings, params
        What was tried, and the parameters that made it.
    pruned
        Whether it was given up before its last fold; its figures are then of the folds before.
    worth
        Mean utility per query; see `mean_utility`.
    gain, gain_error
        Of worth, over the defaults on the same queries, and its standard error by question.
    quality, cost, latency_s
        Means at the operating point.
    """

    number: int
    settings: LearnerSettings
    params: Mapping[str, Any]
    pruned: bool
    worth: float
    gain: float
    gain_error: float
    quality: float
    cost: float
    latency_s: float | None


def best_of(trials: Sequence[Trial]) -> Trial:
    """Return the trial of most worth where it beats the defaults beyond noise, else the defaults, which come first.

    Noise is what the luckiest of so many trials shows in one search of twenty (Bonferroni), none being better; those
    that were pruned could have been it.
    """
    rivals = [trial for trial in trials[1:] if not trial.pruned and trial.gain_error > 0]
    if not rivals:
        return trials[0]
    z = _beyond_noise(len(trials) - 1)
    best = max(rivals, key=lambda trial: trial.gain)
    return best if best.gain > z * best.gain_error else trials[0]


def chance_of_a_find(gain: float, error: float, share: float, n_rivals: int) -> float:
    """Return the probability that a trial will be found better than the defaults, when all queries are scored.

    Its true gain is taken to be about what is seen, as far as that is known and nothing else is (a flat prior): more
    than one ought to hope for.

    Parameters
    ----------
    gain, error
        Of worth on the queries so far, and its standard error.
    share
        Of the queries that were scored, above 0 and below 1.
    n_rivals
        Trials beside the defaults, of which it may be the luckiest.

    Examples
    --------
    >>> [round(chance_of_a_find(gain, 0.01, 1 / 3, n_rivals=19), 2) for gain in (-0.01, 0.0, 0.01, 0.03)]
    [0.0, 0.02, 0.23, 0.96]
    """
    if error <= 0.0:
        return 0.0 if gain <= 0.0 else 1.0
    needed = _beyond_noise(n_rivals) * share**0.5
    return NormalDist().cdf((gain / error - needed) / (1.0 - share) ** 0.5)


def _beyond_noise(n_rivals: int) -> float:
    """Return the least gain of the luckiest of so many trials that noise does not explain, in standard errors."""
    return NormalDist().inv_cdf(1.0 - _ALPHA / max(n_rivals, 1))


class RouterSearch:
    """Tries settings on inner folds of a task's outcomes; its trials live in a storage.

    Parameters
    ----------
    task
        The outcomes, and what all trials are given.
    space
        What is searched.
    n_folds
        Inner folds, by question.
    storage
        See `open_storage`.
    name
        Of the study.
    only_gain
        Whether to prune trials that will hardly be found to beat the defaults.
    """

    def __init__(
        self, task: FoldTask, space: SearchSpace, n_folds: int, storage: Any, name: str, *, only_gain: bool = False
    ) -> None:
        self._task, self._space = task, space
        self._only_gain, self._n_trials = only_gain, 1
        prompts = task.outcomes.prompts
        self._folds = query_fold(prompts, n_folds, _INNER_SEED + task.seed)
        self._questions = question_numbers(prompts)
        self._has_latency = task.cost != "latency_s" and bool(np.isfinite(task.outcomes.latency_s).all())
        told = {
            "outcomes": task.outcomes.digest(),
            "cost": task.cost,
            "seed": task.seed,
            "inner folds": n_folds,
            "encoders": list(space.encoders),
            "context": list(space.context),
            **({"only gain": True} if only_gain else {}),
        }
        directions = ["maximize", "maximize", "minimize", *["minimize"] * self._has_latency]
        self._study, is_new = begun_study(storage, name, directions, told, task.seed)
        if is_new:
            for params in (space.default_params, *space.first_changes()):
                self._study.enqueue_trial(params)

    @property
    def study(self) -> Any:
        """Optuna's study."""
        return self._study

    def run(self, n_trials: int, progress: Advance) -> tuple[Trial, ...]:
        """Go on until the study has so many finished trials, the defaults among them; return them, the defaults first.

        Other processes may work on the same study: what they finish counts.

        Parameters
        ----------
        progress
            Called with (trials finished, trials in all).
        """
        from optuna.study import MaxTrialsCallback
        from optuna.trial import TrialState

        self._n_trials = n_trials
        finished = (TrialState.COMPLETE, TrialState.PRUNED)
        fail_trials_of_dead_processes(self._study)
        if not self._default_trials(TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING):
            self._study.enqueue_trial(self._space.default_params)

        def n_finished() -> int:
            return len(self._study.get_trials(deepcopy=False, states=finished))

        progress(min(n_finished(), n_trials), n_trials)
        if n_finished() < n_trials:
            told = lambda *_: progress(min(n_finished(), n_trials), n_trials)  # noqa: E731
            self._study.optimize(self._objective, callbacks=[told, MaxTrialsCallback(n_trials, finished)])
        if not self._default_trials(TrialState.COMPLETE):  # another process has them and may be slow, or dead elsewhere
            self._study.enqueue_trial(self._space.default_params)
            while not self._default_trials(TrialState.COMPLETE):
                self._study.optimize(self._objective, n_trials=1)
        return self._trials()

    def _default_trials(self, *states: Any) -> list[Any]:
        trials = self._study.get_trials(deepcopy=False, states=states)
        wanted = self._space.default_params
        # A trial that waits has its parameters fixed but not yet drawn.
        return [each for each in trials if (each.params or each.system_attrs.get("fixed_params")) == wanted]

    def _objective(self, trial: Any) -> tuple[float, ...]:
        import optuna

        trial.set_user_attr(PROCESS, process_name())
        settings = self._space.draw(trial)
        scores: list[FoldScores] = []
        folds = np.unique(self._folds).tolist()
        for fold in folds:
            test = self._folds == fold
            scores.append(self._task.score(settings, ~test, test))
            trial.set_user_attr(_FOLD.format(fold), msgspec.to_builtins(scores[-1]))
            if fold != folds[-1] and self._is_hopeless(scores, folds):
                raise optuna.TrialPruned
        values = [_mean(scores, name) for name in ("worth", "quality", "cost", "latency_s")]
        return tuple(value for value in values if value is not None)

    def _is_hopeless(self, scores: Sequence[FoldScores], folds: Sequence[int]) -> bool:
        """Whether a one-sided 95% test finds it worse than the defaults on the folds so far, or no gain is in reach."""
        from optuna.trial import TrialState

        for defaults in self._default_trials(TrialState.COMPLETE):
            gain, error = self._gain(scores, _scores_of(defaults, folds[: len(scores)]), folds)
            if gain + NormalDist().inv_cdf(1.0 - _ALPHA) * error < 0:
                return True
            share = float(np.isin(self._folds, folds[: len(scores)]).mean())
            return self._only_gain and chance_of_a_find(gain, error, share, self._n_trials - 1) < _LEAST_CHANCE
        return False

    def _gain(
        self, scores: Sequence[FoldScores], defaults: Sequence[FoldScores], folds: Sequence[int]
    ) -> tuple[float, float]:
        pairs = zip(scores, defaults, strict=True)
        gain = np.concatenate([np.subtract(ours.worth, theirs.worth) for ours, theirs in pairs])
        questions = np.concatenate([self._questions[self._folds == fold] for fold in folds[: len(scores)]])
        return gain_with_error(gain, questions)

    def _trials(self) -> tuple[Trial, ...]:
        from optuna.trial import TrialState

        folds = np.unique(self._folds).tolist()
        first = self._default_trials(TrialState.COMPLETE)[0]
        others = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        found = []
        for each in (first, *(other for other in others if other.number != first.number)):
            scores = _scores_of(each, folds)
            gain, error = self._gain(scores, _scores_of(first, folds[: len(scores)]), folds)
            worth, quality, cost = (_mean(scores, name) for name in ("worth", "quality", "cost"))
            assert worth is not None and quality is not None and cost is not None  # noqa: S101, PT018  always scored
            found.append(
                Trial(
                    number=each.number,
                    settings=self._space.settings(each.params),
                    params=dict(each.params),
                    pruned=each.state == TrialState.PRUNED,
                    worth=worth,
                    gain=gain,
                    gain_error=error if math.isfinite(error) else 0.0,
                    quality=quality,
                    cost=cost,
                    latency_s=_mean(scores, "latency_s"),
                )
            )
        return tuple(found)


def _scores_of(trial: Any, folds: Sequence[int]) -> list[FoldScores]:
    """Return what is stored of a trial: all folds, or those before it was pruned."""
    stored = (trial.user_attrs.get(_FOLD.format(fold)) for fold in folds)
    return [msgspec.convert(each, FoldScores) for each in stored if each is not None]


def _mean(scores: Sequence[FoldScores], name: str) -> float | None:
    values: list[NDArray[np.float64]] = []
    for each in scores:
        of_fold = getattr(each, name)
        if of_fold is None:
            return None
        values.append(np.asarray(of_fold))
    return float(np.concatenate(values).mean())
