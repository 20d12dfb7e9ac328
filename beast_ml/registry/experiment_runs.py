"""An experiment's analysis as one MLflow run: figures as metrics, the verdict as tags, pictures as artifacts."""

from __future__ import annotations

from pathlib import Path

from beast_ml.experiments.analysis import ExperimentAnalysis
from beast_ml.experiments.verdict import ExperimentVerdict
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.tracking import training_run

__all__ = ["record_analysis"]


def record_analysis(
    config: TrackingConfig,
    analysis: ExperimentAnalysis,
    verdict: ExperimentVerdict,
    folder: Path,
    experiment: str | None = None,
) -> str:
    """Write one finished run, and return its id.

    Parameters
    ----------
    config
        The store.
    analysis, verdict
        What was found.
    folder
        Where report.json and the pictures are.
    experiment
        The experiment's id; None for data of unknown origin.

    Raises
    ------
    RegistryUnavailableError
        If the store does not answer.
    """
    name = f"experiment {experiment or 'analysis'}: {analysis.metric}"
    tags = {
        "kind": "experiment-analysis",
        "experiment_id": experiment or "",
        "metric": analysis.metric,
        "decision": verdict.decision,
        "variant": verdict.variant or "",
        "trusted": verdict.trusted,
    }
    with training_run(config, name, _described(verdict), tags) as run:
        run.params(
            {
                "alpha": analysis.config.alpha,
                "planned_units": analysis.config.planned_units,
                "multiplicity": analysis.multiplicity,
                "variants": ", ".join(each.name for each in analysis.comparisons),
            }
        )
        run.metrics(_metrics(analysis))
        run.artifact(folder, "analysis")
        return run.id


def _described(verdict: ExperimentVerdict) -> str:
    return "\n".join([f"**{verdict.sentence}**", "", *(f"- {reason}" for reason in verdict.reasons[1:])])


def _metrics(analysis: ExperimentAnalysis) -> dict[str, float]:
    metrics = {"control/value": analysis.control, "control/units": float(analysis.n_control_units)}
    for each in analysis.comparisons:
        known = {
            "effect": each.effect,
            "low": each.low,
            "high": each.high,
            "p_value": each.p_value,
            "units": float(each.n_units),
            "variance_reduction": each.variance_reduction,
        }
        metrics |= {f"{each.name}/{name}": value for name, value in known.items() if value is not None}
    return metrics
