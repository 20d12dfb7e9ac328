"""A search for a router's settings in MLflow, a child run for each trial, and the file for `beast train`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from beast_ml.evaluation.bootstrap import Estimate
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.operations.router_tuning.nested import NestedTuning, ProvenGain, TuningPlan
from beast_ml.operations.router_tuning.search import Trial
from beast_ml.policy.learner_settings import LearnerSettings
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.models import VERDICT_TAG
from beast_ml.registry.proposals import KEPT_DEFAULTS, KEPT_TUNED
from beast_ml.registry.tracking import TrainingRun, training_run

__all__ = ["gain_sentence", "record_router_tuning", "settings_file"]


def gain_sentence(gain: ProvenGain) -> str:
    """Return what tuning gave, in a sentence."""
    if gain.worth.low == gain.worth.high == 0.0:
        return "without each part of the questions, no trial beat the defaults beyond noise: the defaults stay"
    told = (
        f"on questions that the search never saw, tuned settings are worth {_told(gain.worth)} of quality more a query "
        f"than the defaults, and reach {_told(gain.share)} more of the gap to the oracle"
    )
    return told + ("" if gain.is_proven else ": not beyond noise, so the defaults stay")


def settings_file(tuning: NestedTuning, settings: LearnerSettings, source: str) -> str:
    """Return the settings as `beast train --settings` reads them, and what they are worth, as a comment."""
    return f"# Tuned on {source}; {gain_sentence(tuning.gain)}.\n{settings.to_yaml()}"


def record_router_tuning(
    tuning: NestedTuning,
    settings: LearnerSettings,
    plan: TuningPlan,
    outcomes: OutcomeMatrix,
    source: str,
    plot: Path,
    tracking: TrackingConfig,
) -> str:
    """Record a search in MLflow, all trials of all its parts; return the id of its run.

    Parameters
    ----------
    settings
        Those that were written.
    plot
        The picture of the trials.

    Raises
    ------
    RegistryUnavailableError
        If MLflow does not answer.
    """
    description = f"Settings of a router, searched on {source}: {gain_sentence(tuning.gain)}."
    tags = {"data": source, "kind of run": "tuning", "study": plan.study}
    with training_run(tracking, f"tune router {plan.study}", description, tags) as run:
        run.params({"trials": plan.n_trials, "outer": plan.n_outer, "inner": plan.n_inner, "seed": plan.seed})
        run.params({f"kept/{name}": value for name, value in msgspec.to_builtins(settings).items()})
        digest, profile = outcomes.digest(), {"queries": outcomes.n_queries}
        run.dataset(plan.study, digest=digest, source=source, context="tuning", profile=profile)
        for number, fold in enumerate(tuning.outer):
            _record_trials(run, fold.trials, f"without fold {number + 1}")
        _record_trials(run, tuning.trials, "on everything")
        for name in ProvenGain.__dataclass_fields__:
            estimate: Estimate = getattr(tuning.gain, name)
            ends = {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
            run.metrics({f"outer/{name}{end}": value for end, value in ends.items() if value is not None})
        run.text(settings_file(tuning, settings, source), "router.yaml")
        run.artifact(plot, "plots")
        run.tags({VERDICT_TAG: KEPT_DEFAULTS if settings == tuning.defaults else KEPT_TUNED})
        return run.id


def _record_trials(run: TrainingRun, trials: tuple[Trial, ...], part: str) -> None:
    for trial in trials:
        name = f"{part}: {'defaults' if trial is trials[0] else f'trial {trial.number}'}"
        tags: Mapping[str, object] = {"kind of run": "trial", "part": part, "pruned": trial.pruned}
        with run.child(name, f"Inner folds, {part}.", tags, trial.params) as child:
            figures = {
                "worth": trial.worth,
                "gain": trial.gain,
                "gain_error": trial.gain_error,
                "quality": trial.quality,
                "cost": trial.cost,
                "latency_s": trial.latency_s,
            }
            child.metrics({name: value for name, value in figures.items() if value is not None})


def _told(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "an unknown amount"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
