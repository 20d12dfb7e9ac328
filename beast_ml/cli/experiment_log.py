"""What `beast experiment analyze` takes from a log store and gives to MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from beast_ml.errors import InputError

if TYPE_CHECKING:
    from beast_ml.experiments.analysis import ExperimentAnalysis
    from beast_ml.experiments.definitions import Experiment
    from beast_ml.experiments.observations import Observations
    from beast_ml.experiments.verdict import ExperimentVerdict

__all__ = ["LoggedExperiment", "known_experiment", "logged_experiment", "track_analysis"]


def known_experiment(name: str, file: Path | None) -> Experiment:
    """Return an experiment by its id.

    Parameters
    ----------
    name
        The id.
    file
        Of experiments; None: the one in serving.state.

    Raises
    ------
    InputError
        If there is none of that id.
    """
    from beast_ml.experiments.experiments_file import EXPERIMENTS_FILE, read_experiments
    from beast_ml.settings import load_settings

    path = file or load_settings().serving.state / EXPERIMENTS_FILE
    known = {each.id: each for each in read_experiments(path).experiments}
    if name not in known:
        raise InputError(
            f"{path} has no experiment {name!r}, only {', '.join(known) or 'none'}: `beast experiment status` lists "
            "them, --experiments names another file"
        )
    return known[name]


@dataclass(frozen=True)
class LoggedExperiment:
    """What the log knows of an experiment.

    Parameters
    ----------
    observations
        Of one metric.
    shares
        That were meant; None where they cannot be checked.
    harmed
        Variants that break a guardrail, and what was found of each.
    """

    observations: Observations
    shares: dict[str, float] | None
    harmed: dict[str, str]


def logged_experiment(
    name: str, metric: str, store: Path | None, file: Path | None, covariates: Sequence[str]
) -> LoggedExperiment:
    """Return what the log knows of an experiment."""
    from beast_ml.experiments.guardrails import harmed, watch
    from beast_ml.experiments.log_metrics import observe, shares_now
    from beast_ml.logs.store import LogStore
    from beast_ml.settings import load_settings

    experiment, now = known_experiment(name, file), datetime.now(UTC)
    log = LogStore(store or load_settings().logs.store)
    observations = observe(log, experiment, metric, now, covariates)
    broken = watch(experiment, log, now).breaches
    return LoggedExperiment(observations, shares_now(experiment) or None, harmed(experiment, broken))


def track_analysis(
    analysis: ExperimentAnalysis, verdict: ExperimentVerdict, folder: Path, experiment: str | None
) -> str:
    """Record an analysis as one MLflow run, and return the run's id."""
    from beast_ml.registry.config import TrackingConfig
    from beast_ml.registry.experiment_runs import record_analysis
    from beast_ml.settings import load_settings

    return record_analysis(
        TrackingConfig(**load_settings().tracking.model_dump()), analysis, verdict, folder, experiment
    )
