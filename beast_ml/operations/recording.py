"""What every training leaves in MLflow, whatever it learnt from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from beast_ml.bundle.manifest import Manifest
from beast_ml.bundle.write import write_bundle
from beast_ml.events import events
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.operations.plots import draw_calibration, draw_cost_accuracy, draw_learning_curves
from beast_ml.policy.learner import FittedRouter
from beast_ml.predictors.contract import FamilyScore
from beast_ml.registry.evidence import Evidence
from beast_ml.registry.models import RegisteredRouter, register_router
from beast_ml.registry.tracking import TrainingRun

__all__ = ["draw_plots", "log_inputs", "log_settings", "log_targets", "register"]

_EXAMPLE_ROWS: Final = 5


def log_inputs(
    run: TrainingRun, name: str, router: FittedRouter, test: OutcomeMatrix, sources: Mapping[str, str]
) -> None:
    """Record training and test data as inputs of the run, with their digests."""
    columns = {"query_id": "string", "task": "string", "prompt": "string", "model": "string", "quality": "double"}
    if router.cost != "none":
        columns[router.cost] = "double"
    for context, outcomes in (("training", router.training), ("test", test)):
        observed = int((~np.isnan(outcomes.quality)).sum())
        run.dataset(
            f"{name} ({context})",
            digest=outcomes.digest(),
            source=sources.get(context, name),
            context=context,
            columns=columns,
            profile={"queries": outcomes.n_queries, "models": len(outcomes.models), "outcomes": observed},
        )


def log_settings(run: TrainingRun, router: FittedRouter, seed: int) -> None:
    """Record what the training was told, what it chose, and its error by kind of request."""
    point, spec, tasks = router.operating_point, router.features.spec, router.training.tasks
    run.params(
        {
            "encoder": spec.encoder,
            "cost": router.cost,
            "seed": seed,
            "context": ", ".join(router.context) or "none",
            "models": len(router.models),
            "training_queries": router.training.n_queries,
            "features": len(spec.names),
            "feature_hash": spec.hash[:16],
            "operating_point": point.kind,
            "willingness_to_pay": point.willingness_to_pay,
        }
    )
    error = (router.out_of_fold.quality - router.training.quality) ** 2
    run.metrics(
        {
            f"brier_by_task/{task}": float(np.nanmean(error[tasks == task]))
            for task in np.unique(tasks)
            if task and not np.isnan(error[tasks == task]).all()
        }
    )


def log_targets(run: TrainingRun, router: FittedRouter, taught: bool = False) -> None:
    """Open a child run for each target, and in it one for each family that competed, with its errors.

    ``taught``: quality was learnt from a teacher of a log. Its families competed for the teacher's targets, which are
    smoother than outcomes, and their errors say so by name.
    """
    for target, fitted in router.pool.targets.items():
        label = target.replace("_", " ")
        unopposed = "network" if fitted.learning_curve else "price x tokens"
        winner = next((score.name for score in fitted.families if score.chosen), unopposed)
        with run.child(
            f"{label}: {winner}",
            f"Predictor of {label} for {len(router.models)} candidates. Metrics are out of fold, on training queries.",
            {"target": target, "family": winner},
            {"target": target, "family": winner, "epochs": len(fitted.learning_curve)},
        ) as child:
            child.metrics(dict(fitted.report))
            for epoch, (batches, held_out) in enumerate(fitted.learning_curve, start=1):
                child.metrics({"loss/training_batches": batches, "loss/held_out_folds": held_out}, step=epoch)
            for rank, score in enumerate(fitted.families, start=1):
                _log_family(child, target, label, rank, score, "_to_teacher" if taught and target == "quality" else "")
    if router.pool.kind is not None:
        kinds = router.pool.kind.predictor.kinds
        family = "network" if router.pool.kind.report["is_network"] else "linear"
        with run.child(
            f"request kind: {family}",
            f"Which of {len(kinds)} kinds a request is of. Metrics are out of fold, on training queries.",
            {"target": "request_kind", "family": family},
            {"target": "request_kind", "family": family, "kinds": ", ".join(kinds)},
        ) as child:
            child.metrics(dict(router.pool.kind.report))


def _log_family(child: TrainingRun, target: str, label: str, rank: int, score: FamilyScore, against: str) -> None:
    with child.child(
        f"{label}: {score.name}" + (" (chosen)" if score.chosen else ""),
        f"The family `{score.name}` on {label}, by cross-validation: number {rank}.",
        {"target": target, "family": score.name, "chosen": "yes" if score.chosen else "no"},
        {"target": target, "family": score.name, **score.settings},
    ) as family:
        family.metrics(
            {
                f"routing_error{against}": score.routing_error,
                f"squared_error{against}": score.squared_error,
                "rank": rank,
            }
        )


def draw_plots(folder: Path, router: FittedRouter, test: OutcomeMatrix) -> None:
    """Draw calibration, cost and learning plots into a folder."""
    pooled = test.pool(router.models)
    predicted = router.predict(pooled.prompts, pooled.contexts(router.context))
    draw_calibration(folder / "calibration.png", router.models, predicted.quality, pooled.quality)
    if router.cost != "none":
        realised, unit = (pooled.cost_usd, "USD") if router.cost == "cost_usd" else (pooled.latency_s, "s")
        draw_cost_accuracy(folder / "cost.png", router.models, predicted.cost, realised, unit)
    curves = {name: fit.learning_curve for name, fit in router.pool.targets.items() if fit.learning_curve}
    draw_learning_curves(folder / "learning.png", curves)


def register(
    run: TrainingRun, router: FittedRouter, evidence: Evidence, cards: Mapping[str, str], folder: Path
) -> tuple[RegisteredRouter, Manifest]:
    """Write the bundle into a new folder and register it with its parts."""
    manifest = write_bundle(router, folder, headline=evidence.metrics(), run_ids={"training": run.id})
    sample = router.training.rows(np.arange(min(_EXAMPLE_ROWS, router.training.n_queries)))
    example = router.rows(sample.prompts, sample.contexts(router.context))
    registered = register_router(run, folder, evidence, cards, example)
    run.describe(cards["router"])
    events.info("training.registered", version=registered.version, run_id=run.id, bundle=manifest.digest)
    return registered, manifest
