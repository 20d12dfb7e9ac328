"""What the log says of an experiment, metric by metric: what `beast serve` keeps beside its workers."""

from __future__ import annotations

from datetime import datetime

from beast_ml.errors import DataError
from beast_ml.experiments.analysis import analyze
from beast_ml.experiments.definitions import Experiment
from beast_ml.experiments.guardrails import harmed, watch
from beast_ml.experiments.kept_analyses import KeptAnalysis
from beast_ml.experiments.log_metric_names import LOWER_IS_BETTER
from beast_ml.experiments.log_metrics import observe, shares_now
from beast_ml.experiments.observation_files import report_of
from beast_ml.experiments.verdict import reach_verdict
from beast_ml.logs.store import LogStore

__all__ = ["analyse_log"]


def analyse_log(experiment: Experiment, store: LogStore, now: datetime) -> tuple[KeptAnalysis, ...]:
    """Return the analyses of an experiment's metric and of those that its guardrails watch.

    As `beast experiment analyze` with its defaults: no variant that breaks a guardrail is to be shipped, whatever the
    metric.
    """
    metrics = dict.fromkeys((experiment.metric, *(each.metric for each in experiment.guardrails)))
    harm = harmed(experiment, watch(experiment, store, now).breaches)
    found = []
    for metric in metrics:
        try:
            observed = observe(store, experiment, metric, now)
            analysis = analyze(observed, metric, shares=shares_now(experiment) or None)
            verdict = reach_verdict(analysis, lower_is_better=metric in LOWER_IS_BETTER, harmed=harm)
            found.append(KeptAnalysis(experiment.id, metric, now, report=report_of(analysis, verdict)))
        except DataError as error:  # nothing in the log yet, or only of one variant
            found.append(KeptAnalysis(experiment.id, metric, now, waiting=str(error)))
    return tuple(found)
