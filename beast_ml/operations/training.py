"""Train, evaluate on untouched queries, register: one MLflow parent run with a child for each target."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from beast_ml.bundle.manifest import Manifest
from beast_ml.errors import NotEnoughDataError
from beast_ml.evaluation.routers import ROUTER
from beast_ml.evaluation.routing import RoutingConfig, RoutingEvaluation, evaluate_routing
from beast_ml.logs.outcomes import ContextKey, OutcomeMatrix
from beast_ml.logs.splits import holdout_mask
from beast_ml.operations.cards import model_cards
from beast_ml.operations.evidence import evidence_of
from beast_ml.operations.recording import draw_plots, log_inputs, log_settings, log_targets, register
from beast_ml.policy.learner import FittedRouter, RouterLearner, get_encoder
from beast_ml.policy.utility import CostKind
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.evidence import Evidence
from beast_ml.registry.models import RegisteredRouter
from beast_ml.registry.tracking import TrainingRun, training_run

__all__ = ["TrainingResult", "split_for_test", "train"]

_TEST_FRACTION: Final = 0.2


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
        log_inputs(run, name, router, test, dict(sources or {}))
        log_settings(run, router, config.seed)
        log_targets(run, router)
        run.metrics(_routing_metrics(evaluation))
        run.tags({"routing pays": "yes" if evaluation.verdict.pays else "no"})
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            _log_report(run, folder, evaluation, router, test)
            cards = model_cards(router, evaluation.verdict.sentence, evidence, name)
            registered, manifest = register(run, router, evidence, cards, folder / "bundle")
        return TrainingResult(evaluation, evidence, router, registered, manifest, run.id)


class _Remembering:
    """A learner that keeps what it fitted, so that what was evaluated is what is registered."""

    def __init__(self, learner: RouterLearner) -> None:
        self._learner = learner
        self._fitted: FittedRouter | None = None

    @property
    def context(self) -> tuple[ContextKey, ...]:
        return self._learner.context

    def fit(self, train: OutcomeMatrix, cost: CostKind, seed: int) -> FittedRouter:
        self._fitted = self._learner.fit(train, cost, seed)
        return self._fitted

    def fitted(self) -> FittedRouter:
        assert self._fitted is not None  # noqa: S101  evaluation fits exactly once
        return self._fitted


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


def _log_report(
    run: TrainingRun, folder: Path, evaluation: RoutingEvaluation, router: FittedRouter, test: OutcomeMatrix
) -> None:
    """Upload the evaluation's files, and all plots in one folder."""
    evaluation.write(folder / "evaluation")
    plots = folder / "plots"
    plots.mkdir()
    (folder / "evaluation" / "frontier.png").rename(plots / "frontier.png")
    draw_plots(plots, router, test)
    run.artifact(folder / "evaluation", "evaluation")
    run.artifact(plots, "plots")
