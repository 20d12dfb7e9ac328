"""`beast train`: from outcomes or logs to a registered router."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beast_ml.cli.evaluate import print_evaluation
from beast_ml.cli.known_context import UseApp, UseTask, known_context
from beast_ml.cli.known_executor import ExecutorOption, SchedulerOption, opened_executor
from beast_ml.cli.known_prices import known_prices
from beast_ml.cli.output import Bars, JsonOption, one_of, print_json, print_table, progress_bar, say, stdout
from beast_ml.cli.training_data import read_log_at, read_outcomes_at
from beast_ml.errors import InputError
from beast_ml.places import place

if TYPE_CHECKING:
    from beast_ml.executors import Executor
    from beast_ml.logs.outcomes import ContextKey
    from beast_ml.registry.models import RegisteredRouter

__all__ = ["app", "print_registered"]

app = typer.Typer()


@app.command()
def train(
    outcomes: Annotated[
        Path | None,
        typer.Option(
            parser=place, help="Outcome table: every candidate's outcome for each query (Parquet, JSONL, CSV)."
        ),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(parser=place, help="Log store: folder of routed requests that `beast logs ingest` wrote."),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(parser=place, help="Outcome table to measure on; default: a fifth of the questions is held out."),
    ] = None,
    pool: Annotated[str | None, typer.Option(help="Models to choose from, separated by commas; default: all.")] = None,
    name: Annotated[str | None, typer.Option(help="What the data are called in MLflow; default: the file.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = 0,
    encoder: Annotated[
        str, typer.Option(help="static, tuned (learnt from the outcomes), minilm (slower), or hashing.")
    ] = "static",
    learner_settings: Annotated[
        Path | None, typer.Option("--settings", help="How to learn, as `beast tune router` wrote it.")
    ] = None,
    cost: Annotated[str | None, typer.Option(help="cost_usd, latency_s or none; default: what the data have.")] = None,
    use_task: UseTask = False,
    use_app: UseApp = False,
    explore: Annotated[
        float | None,
        typer.Option(
            help="From a log: quality that a request may give up, as expected, for trying a model that may be better "
            "than is known; 0: none. Default: `exploration` of mlflow.yaml, whose other bounds hold."
        ),
    ] = None,
    requests: Annotated[
        int | None,
        typer.Option(min=0, help="From a log: at most so many, whole questions by a hash; 0: all. Default: 100,000."),
    ] = None,
    executor: ExecutorOption = "local",
    scheduler: SchedulerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Learn a router, measure it on untouched queries, and register it in MLflow with its evidence."""
    context = known_context(use_task, use_app)
    if learner_settings is not None and (log is not None or context or encoder != "static"):
        raise InputError("--settings says encoder and context itself, and is for --outcomes: give no other of them")
    if explore is not None and log is None:
        raise InputError("--explore is for --log: where every model's outcome is known, there is nothing to explore")
    if (outcomes is None) == (log is None):
        raise InputError("give either --outcomes FILE or --log FOLDER to learn from")
    if log is not None and (test or cost):
        raise InputError("--test and --cost are for --outcomes; a log is split and judged by itself")
    if log is None and requests is not None:
        raise InputError("--requests is for --log: of an outcome table everything is learnt from")
    with opened_executor(executor, scheduler) as workers:
        if log is not None:
            _train_on_log(log, pool, name, seed, encoder, context, explore, requests, workers, as_json)
        elif outcomes is not None:
            _train_on_outcomes(
                outcomes, test, pool, name, seed, encoder, learner_settings, cost, context, workers, as_json
            )


def _train_on_outcomes(
    outcomes: Path,
    test: Path | None,
    pool: str | None,
    name: str | None,
    seed: int,
    encoder: str,
    learner_settings: Path | None,
    cost: str | None,
    context: tuple[ContextKey, ...],
    executor: Executor,
    as_json: bool,
) -> None:
    from beast_ml.evaluation.routing import RoutingConfig
    from beast_ml.features.kinds import KIND_TABLE
    from beast_ml.operations.training import split_for_test
    from beast_ml.operations.training import train as train_router
    from beast_ml.policy.learner import ENCODERS, RouterLearner
    from beast_ml.policy.learner_settings import read_learner_settings
    from beast_ml.policy.utility import COST_KINDS
    from beast_ml.registry.config import TrackingConfig
    from beast_ml.settings import load_settings

    told = None if learner_settings is None else read_learner_settings(learner_settings)
    settings = load_settings()
    prices = known_prices(settings)
    sets = read_outcomes_at(*(path for path in (outcomes, test) if path is not None))
    given = [each.matrix.priced(prices) for each in sets]
    matrices = (given[0], given[1]) if test is not None else split_for_test(given[0], seed)
    config = RoutingConfig(
        pool=None if pool is None else _names(pool),
        cost=None if cost is None else one_of("--cost", cost, COST_KINDS),
        seed=seed,
        quality_target=1.0 if told is None else told.quality_target,
    )
    with progress_bar() as progress:
        learner = RouterLearner(
            one_of("--encoder", encoder, ENCODERS),
            prices=prices,
            kinds=KIND_TABLE.extended(settings.kinds),
            progress=Bars(progress).advance,
            context=context,
            executor=executor,
        )
        result = train_router(
            *matrices,
            tracking=TrackingConfig(**settings.tracking.model_dump()),
            learner=learner if told is None else told.applied_to(learner),
            config=config,
            name=name or outcomes.stem,
            sources={"training": str(outcomes), "test": str(test or outcomes)},
            say=say,
        )
    if as_json:
        registered = result.registered
        print_json(
            {
                "version": registered.version,
                "uri": registered.uri,
                "parts": registered.parts,
                "run_id": result.run_id,
                "bundle": result.manifest.digest,
                "verdict": result.evaluation.verdict.to_dict(),
            }
        )
        return
    print_evaluation(result.evaluation)
    print_registered(result.registered)
    stdout.print("next: beast promote", highlight=False)


def _train_on_log(
    log: Path,
    pool: str | None,
    name: str | None,
    seed: int,
    encoder: str,
    context: tuple[ContextKey, ...],
    explore: float | None,
    requests: int | None,
    executor: Executor,
    as_json: bool,
) -> None:
    from beast_ml.cli.known_exploration import known_exploration
    from beast_ml.features.kinds import KIND_TABLE
    from beast_ml.operations.log_training import train_from_log
    from beast_ml.policy.learner import ENCODERS, RouterLearner
    from beast_ml.registry.config import TrackingConfig
    from beast_ml.settings import load_settings

    settings = load_settings()
    prices = known_prices(settings)
    sample = read_log_at(log, requests, executor)
    logged = sample.logged.priced(prices)
    if pool is not None:
        logged = logged.pool(_names(pool))
    with progress_bar() as progress:
        result = train_from_log(
            logged,
            tracking=TrackingConfig(**settings.tracking.model_dump()),
            learner=RouterLearner(
                one_of("--encoder", encoder, ENCODERS),
                prices=prices,
                kinds=KIND_TABLE.extended(settings.kinds),
                progress=Bars(progress).advance,
                context=context,
                exploration=known_exploration(settings, explore),
                executor=executor,
            ),
            seed=seed,
            name=name or log.name,
            source=str(log),
            drawn_from=sample.n_usable,
            say=say,
        )
    if as_json:
        print_json(
            {
                "version": result.registered.version,
                "uri": result.registered.uri,
                "parts": result.registered.parts,
                "run_id": result.run_id,
                "bundle": result.manifest.digest,
                "verdict": result.sentence,
                "effective_questions": result.effective_questions,
                "estimated_propensities": result.n_estimated,
                "exploration": result.exploration.to_dict(),
                "proposal": result.proposal.to_dict(),
                "evidence": json.loads(result.evidence.to_json()),
            }
        )
        return
    print_table("off-policy evidence on held-out requests", ("figure", "value"), result.evidence.rows())
    stdout.print(result.sentence, highlight=False, markup=False, style="bold")
    stdout.print(result.exploration.sentence(), highlight=False, markup=False)
    stdout.print(result.proposal.sentence(), highlight=False, markup=False)
    print_registered(result.registered)
    stdout.print("next: beast promote", highlight=False)


def print_registered(registered: RegisteredRouter) -> None:
    """Print what was registered."""
    parts = ", ".join(f"{name} {version}" for name, version in sorted(registered.parts.items()))
    stdout.print(f"registered {registered.uri} ({parts})", highlight=False, markup=False)


def _names(pool: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in pool.split(",") if part.strip())
