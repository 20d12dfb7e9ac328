"""Train, evaluate on untouched queries, register: one MLflow parent run with a child for each target."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from beast_ml.bundle.manifest import Manifest
from beast_ml.bundle.write import write_bundle
from beast_ml.errors import NotEnoughDataError
from beast_ml.evaluation.routers import ROUTER
from beast_ml.evaluation.routing import RoutingConfig, RoutingEvaluation, evaluate_routing
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.splits import holdout_mask
from beast_ml.operations.cards import model_cards
from beast_ml.operations.evidence import evidence_of
from beast_ml.operations.plots import draw_calibration, draw_cost_accuracy, draw_learning_curves
from beast_ml.policy.learner import FittedRouter, RouterLearner, get_encoder
from beast_ml.policy.utility import CostKind
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.evidence import Evidence
from beast_ml.registry.models import RegisteredRouter, register_router
from beast_ml.registry.tracking import TrainingRun, training_run

__all__ = ["TrainingResult", "split_for_test", "train"]

_TEST_FRACTION: Final = 0.2
_EXAMPLE_ROWS: Final = 5


@dataclass(frozen=True)
class TrainingResult:
    """What a training came to.

    Parameters
    ----------
    evaluation
        On the test queries, beside every baseline.
    evidence
        What promotion will judge.
    router
        The fitted router.
    registered
        Versions in the registry.
    manifest
        Of the registered bundle.
    run_id
        The MLflow parent run.
    """

    evaluation: RoutingEvaluation
    evidence: Evidence
    router: FittedRouter
    registered: RegisteredRouter
    manifest: Manifest
    run_id: str


def split_for_test(outcomes: OutcomeMatrix, seed: int = 0) -> tuple[OutcomeMatrix, OutcomeMatrix]:
    """Return (train, test): a fifth of the questions is held out, the same question never on both sides.

    Raises
    ------
    NotEnoughDataError
        If one side would be empty.
    """
    held_out = holdout_mask(outcomes.prompts, _TEST_FRACTION, seed)
    if held_out.all() or not held_out.any():
        raise NotEnoughDataError(
            f"{outcomes.n_queries} queries with {len(set(outcomes.prompts))} different questions cannot be split "
            "into a training and a test part: give more, or a test set of their own"
        )
    return outcomes.rows(~held_out), outcomes.rows(held_out)


def train(
    training: OutcomeMatrix,
    test: OutcomeMatrix,
    *,
    tracking: TrackingConfig,
    learner: RouterLearner | None = None,
    config: RoutingConfig | None = None,
    name: str = "outcomes",
    sources: Mapping[str, str] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> TrainingResult:
    """Learn a router from outcomes, measure it on others, and register it with its evidence.

    Nothing of the test outcomes shapes the router. The registered version serves only once `promote` has let it
    through the gates.

    Parameters
    ----------
    training, test
        Full-information outcomes with no question in common (`split_for_test` makes them from one set).
    tracking
        The MLflow store.
    learner
        How to learn; default: the static encoder's recipe.
    config
        Pool, kind of cost, seed.
    name
        What the data are called in MLflow.
    sources
        Where "training" and "test" came from: paths or addresses.
    say
        Called with what is being done.

    Raises
    ------
    DataError, NotEnoughDataError
        If the outcomes cannot be learnt from or evaluated on.
    RegistryUnavailableError
        If MLflow does not answer.
    """
    learner, config = learner or RouterLearner(), config or RoutingConfig()
    remembering = _Remembering(learner)
    tags = {"data": name, "encoder": learner.encoder, "kind of run": "training"}
    with training_run(tracking, f"train {name}", f"Training a router on `{name}` ...", tags) as run:
        encoder = get_encoder(learner.encoder, learner.encoder_progress())
        evaluation = evaluate_routing(training, test, remembering, encoder, config, say=say)
        router = remembering.fitted()
        evidence = evidence_of(evaluation, router, test)
        say("registering in MLflow")
        _log_inputs(run, name, router, test, dict(sources or {}))
        _log_parent(run, evaluation, router, config, learner)
        _log_targets(run, router)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            _log_plots(run, folder, evaluation, router, test)
            manifest = write_bundle(
                router, folder / "bundle", headline=evidence.metrics(), run_ids={"training": run.id}
            )
            cards = model_cards(router, evaluation, evidence, name)
            example = router.rows(test.prompts[:_EXAMPLE_ROWS], test.tasks[:_EXAMPLE_ROWS].tolist())
            registered = register_router(run, folder / "bundle", evidence, cards, example)
        run.describe(cards["router"])
        return TrainingResult(evaluation, evidence, router, registered, manifest, run.id)


class _Remembering:
    """A learner that keeps what it fitted, so that what was evaluated is what is registered."""

    def __init__(self, learner: RouterLearner) -> None:
        self._learner = learner
        self._fitted: FittedRouter | None = None

    def fit(self, train: OutcomeMatrix, cost: CostKind, seed: int, use_task: bool) -> FittedRouter:
        self._fitted = self._learner.fit(train, cost, seed, use_task)
        return self._fitted

    def fitted(self) -> FittedRouter:
        assert self._fitted is not None  # noqa: S101  evaluation fits exactly once
        return self._fitted


def _log_inputs(
    run: TrainingRun, name: str, router: FittedRouter, test: OutcomeMatrix, sources: dict[str, str]
) -> None:
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


def _log_parent(
    run: TrainingRun,
    evaluation: RoutingEvaluation,
    router: FittedRouter,
    config: RoutingConfig,
    learner: RouterLearner,
) -> None:
    point = router.operating_point
    run.params(
        {
            "encoder": learner.encoder,
            "cost": router.cost,
            "seed": config.seed,
            "uses_task": router.uses_task,
            "models": len(router.models),
            "training_queries": router.training.n_queries,
            "features": len(router.features.spec.names),
            "feature_hash": router.features.spec.hash[:16],
            "operating_point": point.kind,
            "willingness_to_pay": point.willingness_to_pay,
        }
    )
    run.metrics(_routing_metrics(evaluation) | _per_task_metrics(evaluation, router))
    run.tags({"routing pays": "yes" if evaluation.verdict.pays else "no"})


def _routing_metrics(evaluation: RoutingEvaluation) -> dict[str, float]:
    """Return each router's curve metrics; slashes group them in the UI."""
    metrics = {}
    for name, score in evaluation.scores.items():
        if name.startswith("single:"):
            continue
        for metric in ("aiq", "share_of_gap"):
            estimate = score.curve.get(metric)
            if estimate is not None and estimate.value is not None:
                metrics[f"{metric}/{name}"] = estimate.value
                if name == ROUTER and estimate.low is not None and estimate.high is not None:
                    metrics[f"{metric}/{name}_low"], metrics[f"{metric}/{name}_high"] = estimate.low, estimate.high
    calibration = evaluation.scores[ROUTER].calibration
    if calibration is not None:
        for model, figures in calibration.per_model.items():
            metrics |= {f"{key}/{model}": value for key, value in figures.items() if value is not None}
    return metrics


def _per_task_metrics(evaluation: RoutingEvaluation, router: FittedRouter) -> dict[str, float]:
    """Return out-of-fold squared error of predicted quality by kind of request, as the training data name kinds."""
    tasks = router.training.tasks
    error = (router.out_of_fold.quality - router.training.quality) ** 2
    return {
        f"brier_by_task/{task}": float(np.nanmean(error[tasks == task]))
        for task in np.unique(tasks)
        if task and not np.isnan(error[tasks == task]).all()
    }


def _log_targets(run: TrainingRun, router: FittedRouter) -> None:
    """Open a child run for each target, with its settings, losses by epoch, and what the shrinkage came to."""
    for target, fitted in router.pool.targets.items():
        label = target.replace("_", " ")
        with run.child(
            f"{label}: network",
            f"Predictor of {label} for {len(router.models)} candidates. Metrics are out of fold, on training queries.",
            {"target": target, "family": "network"},
            {"target": target, "family": "network", "epochs": len(fitted.learning_curve)},
        ) as child:
            child.metrics(dict(fitted.report))
            for epoch, (batches, held_out) in enumerate(fitted.learning_curve, start=1):
                child.metrics({"loss/training_batches": batches, "loss/held_out_folds": held_out}, step=epoch)


def _log_plots(
    run: TrainingRun, folder: Path, evaluation: RoutingEvaluation, router: FittedRouter, test: OutcomeMatrix
) -> None:
    report = folder / "evaluation"
    evaluation.write(report)
    run.artifact(report / "report.json", "evaluation")
    run.artifact(report / "decisions.parquet", "evaluation")
    plots = folder / "plots"
    plots.mkdir()
    (report / "frontier.png").rename(plots / "frontier.png")
    pooled = test.pool(router.models)
    predicted = router.predict(pooled.prompts, pooled.tasks.tolist())
    draw_calibration(plots / "calibration.png", router.models, predicted.quality, pooled.quality)
    if router.cost != "none":
        realised, unit = (pooled.cost_usd, "USD") if router.cost == "cost_usd" else (pooled.latency_s, "s")
        draw_cost_accuracy(plots / "cost.png", router.models, predicted.cost, realised, unit)
    curves: dict[str, Any] = {name: fitted.learning_curve for name, fitted in router.pool.targets.items()}
    draw_learning_curves(plots / "learning.png", curves)
    run.artifact(plots, "plots")
