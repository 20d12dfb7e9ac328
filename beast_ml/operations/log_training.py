"""Train from a routed-request log: only the chosen models' outcomes are known, so all evidence is off-policy.

A teacher that knows what it does not know (`beast_ml.predictors.log_teacher`) learns from the one outcome a request
has; the served predictors learn from what it says of every model on the same requests. What is deployed is decided
from lower bounds, cross-fitted (`beast_ml.operations.log_decision`), and tested once more on held-out questions.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from beast_ml.bundle.manifest import Manifest
from beast_ml.errors import NotEnoughDataError
from beast_ml.features.history_replay import learn_history_spec, logged_history
from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.logs.splits import holdout_mask, question_numbers
from beast_ml.operations.cards import model_cards
from beast_ml.operations.exploration_proposal import ExplorationProposal, propose_exploration
from beast_ml.operations.log_evidence import log_evidence, log_verdict
from beast_ml.operations.log_exploration import ExplorationPlan, plan_exploration
from beast_ml.operations.log_lesson import learn_from_log, with_lesson
from beast_ml.operations.log_rounds import LoggedChoices
from beast_ml.operations.recording import draw_plots, log_inputs, log_settings, log_targets, register
from beast_ml.policy.learner import FittedRouter, RouterLearner, realised_cost
from beast_ml.policy.utility import CostKind
from beast_ml.predictors.contract import Rows
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.evidence import Evidence
from beast_ml.registry.models import RegisteredRouter
from beast_ml.registry.tracking import training_run

__all__ = ["LogTrainingResult", "train_from_log"]

_TEST_FRACTION: Final = 0.4
_MIN_LABELS: Final = 30
_EXPLORED: Final = 0.5
_LOOKED_AT: Final = 1_000


@dataclass(frozen=True)
class LogTrainingResult:
    """What a training from a log came to.

    Parameters
    ----------
    sentence
        The verdict for people.
    evidence
        Off-policy estimates on the held-out part of the log, against the policy that wrote it.
    effective_questions
        How many held-out questions speak of the router's decisions.
    exploration
        What the log cannot answer, and what would.
    proposal
        What the router would explore by itself, and at what price.
    n_estimated
        Requests whose propensity was not logged and is an estimate.
    left_out
        Candidates without enough labelled outcomes to learn from, and how many they had.
    router
        The fitted router.
    registered
        Versions in the registry.
    manifest
        Of the registered bundle.
    run_id
        The MLflow parent run.
    """

    sentence: str
    evidence: Evidence
    effective_questions: float
    exploration: ExplorationPlan
    proposal: ExplorationProposal
    n_estimated: int
    left_out: Mapping[str, int]
    router: FittedRouter
    registered: RegisteredRouter
    manifest: Manifest
    run_id: str


def train_from_log(
    logged: LoggedOutcomes,
    *,
    tracking: TrackingConfig,
    learner: RouterLearner | None = None,
    policy_version: str | None = None,
    seed: int = 0,
    name: str = "log",
    source: str = "log",
    drawn_from: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> LogTrainingResult:
    """Learn a router from a log, estimate off-policy whether it beats the policy that wrote it, and register it.

    Two fifths of the questions are held out for the estimate. The operating point is `decide_from_log`'s on the others;
    where that stays with the logging policy, the router always answers with the model that the log chose most often if
    it did so on half of the requests, else with the best one by the estimates. Propensities that the log lacks are
    estimated.

    Parameters
    ----------
    policy_version
        The policy that is to be beaten: evidence is of its requests alone, outcomes of others are learnt from; None:
        whoever wrote the log.
    drawn_from
        How many requests the log has that can be learnt from, where these may be a sample of them; it is recorded.

    Raises
    ------
    NotEnoughDataError
        If labels are too few to say anything.
    RegistryUnavailableError
        If MLflow does not answer.
    """
    learner = learner or RouterLearner()
    n_read = logged.matrix.n_queries
    plan = _exploration(logged)  # of all candidates: those that are left out are what the log knows least
    logged, left_out = _usable(logged)
    for model, n in left_out.items():
        say(f"warning: {model} has {n} labelled outcomes, needs {_MIN_LABELS}: left out, and its requests with it")
    spec = learn_history_spec(logged, logged.matrix.models, use_task="task" in learner.context)
    history = None if spec is None else logged_history(logged, spec)
    aside = holdout_mask(logged.matrix.prompts, _TEST_FRACTION, seed)
    judged = np.ones(len(aside), dtype=bool)
    if policy_version is not None:
        judged = logged.policy_version == policy_version
        if min((judged & aside).sum(), (judged & ~aside).sum()) < _MIN_LABELS:
            raise NotEnoughDataError(
                f"{judged.sum():,} requests were decided by policy {policy_version}, too few to judge another one by: "
                "wait for more"
            )
    held_out = aside & judged
    training, test = logged.rows(~aside), logged.rows(held_out)
    tags = {"data": name, "encoder": learner.encoder, "kind of run": "training from a log"}
    with training_run(tracking, f"train {name}", f"Training a router on the log `{name}` ...", tags) as run:
        say(f"learning from {training.matrix.n_queries} requests, holding out {test.matrix.n_queries}")
        lesson = learn_from_log(logged, ~aside, learner, _cost_kind(training), seed, judged)
        if lesson.choices.n_estimated:
            say(f"warning: {_estimated(lesson.choices)}")
        known = history.select(~aside) if history else None
        taught = replace(training.matrix, quality=lesson.targets)
        fitted = learner.fit(
            taught, _cost_kind(training), seed, failed=training.failures(), history=known, logged=lesson.logged
        )
        router = with_lesson(fitted, training, lesson)
        seen = history.select(held_out).rows if history else None
        evidence, effective = log_evidence(router, test, lesson.choices.rows(held_out), seen, seed)
        sentence = log_verdict(router, evidence, effective)
        proposal = _proposal(router, test, seen)
        say("registering in MLflow")
        log_inputs(run, name, router, test.matrix, {"training": source, "test": source})
        log_settings(run, router, seed)
        if drawn_from is not None:
            run.params({"log_requests": drawn_from, "log_requests_read": n_read})
        log_targets(run, router, taught=True)
        run.metrics({"off_policy/effective_questions": effective, **lesson.metrics()})
        run.text(f"{sentence}\n\n{plan.sentence()}\n\n{proposal.sentence()}\n", "exploration.md")
        run.text(json.dumps(plan.to_dict() | {"proposal": proposal.to_dict()}, indent=2), "exploration.json")
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            (folder / "plots").mkdir()
            draw_plots(folder / "plots", router, test.matrix)
            run.artifact(folder / "plots", "plots")
            cards = model_cards(router, sentence, evidence, name)
            registered, manifest = register(run, router, evidence, cards, folder / "bundle")
        return LogTrainingResult(
            sentence,
            evidence,
            effective,
            plan,
            proposal,
            lesson.choices.n_estimated,
            left_out,
            router,
            registered,
            manifest,
            run.id,
        )


def _usable(logged: LoggedOutcomes) -> tuple[LoggedOutcomes, dict[str, int]]:
    """Return the requests whose models can be learnt, and the models that cannot."""
    labels = np.isfinite(logged.matrix.quality).sum(axis=0)
    enough = labels >= _MIN_LABELS
    if enough.sum() < 2:
        raise NotEnoughDataError(
            f"{int(enough.sum())} models have at least {_MIN_LABELS} outcomes with a quality label, two are needed: "
            f"send feedback to the log (`quality`), or explore: {_exploration(logged).advice()}"
        )
    left_out = {name: int(count) for name, count in zip(logged.matrix.models, labels, strict=True)}
    kept = [name for name, ok in zip(logged.matrix.models, enough, strict=True) if ok]
    return logged.pool(kept), {name: n for name, n in left_out.items() if name not in kept}


def _cost_kind(logged: LoggedOutcomes) -> CostKind:
    """Return what plays the part of cost: dollars, else seconds, where known for every model; else nothing."""
    kinds: tuple[CostKind, ...] = ("cost_usd", "latency_s")
    for kind in kinds:
        if np.isfinite(realised_cost(logged.matrix, kind)).any(axis=0).all():
            return kind
    return "none"


def _exploration(logged: LoggedOutcomes) -> ExplorationPlan:
    question = question_numbers(logged.matrix.prompts)
    return plan_exploration(logged.matrix.models, logged.matrix.quality, logged.matrix.tasks, question)


def _proposal(router: FittedRouter, test: LoggedOutcomes, history_rows: Rows | None) -> ExplorationProposal:
    """Return what exploring is worth, by as many held-out requests as tell it."""
    some = slice(0, _LOOKED_AT)
    matrix, past = test.matrix, None if history_rows is None else history_rows[some]
    rows = router.rows(matrix.prompts[some], matrix.contexts(router.context)[some], past)
    return propose_exploration(router, router.pool.predictors.predict(rows))


def _estimated(choices: LoggedChoices) -> str:
    """Say what estimated propensities are worth."""
    text = (
        f"{choices.n_estimated} requests have no propensity: estimated from what was chosen (calibration error "
        f"{choices.report.calibration_error:.3f}), which is right only if the old router decided on nothing that the "
        "prompt does not show and that also sways the outcome; log the probability of each choice"
    )
    if choices.report.explored < _EXPLORED:
        text += (
            f". On {1 - choices.report.explored:.0%} of the requests its choice was all but certain: what another "
            "model would have got there, this log cannot tell"
        )
    return text
