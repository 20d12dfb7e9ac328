"""`beast train`: from outcomes or logs to a registered router."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beast_ml.cli.evaluate import print_evaluation
from beast_ml.cli.output import Bars, JsonOption, one_of, print_json, progress_bar, say, stdout
from beast_ml.errors import InputError

if TYPE_CHECKING:
    from beast_ml.operations.training import TrainingResult

__all__ = ["app", "print_registered"]

app = typer.Typer()


@app.command()
def train(
    outcomes: Annotated[
        Path | None, typer.Option(help="Outcome table: every candidate's outcome for each query (Parquet, JSONL, CSV).")
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="Outcome table to measure on; default: a fifth of the questions is held out.")
    ] = None,
    pool: Annotated[str | None, typer.Option(help="Models to choose from, separated by commas; default: all.")] = None,
    name: Annotated[str | None, typer.Option(help="What the data are called in MLflow; default: the file.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = 0,
    encoder: Annotated[str, typer.Option(help="static, minilm (slower), or hashing (needs no weights).")] = "static",
    cost: Annotated[str | None, typer.Option(help="cost_usd, latency_s or none; default: what the data have.")] = None,
    use_task: Annotated[bool, typer.Option("--use-task", help="Let the router read the task of a request.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Learn a router, measure it on untouched queries, and register it in MLflow with its evidence."""
    from beast_ml.evaluation.outcome_files import read_outcome_set
    from beast_ml.evaluation.routing import RoutingConfig
    from beast_ml.operations.training import split_for_test
    from beast_ml.operations.training import train as train_router
    from beast_ml.policy.learner import ENCODERS, RouterLearner
    from beast_ml.policy.utility import COST_KINDS
    from beast_ml.registry.config import TrackingConfig
    from beast_ml.settings import load_settings

    if outcomes is None:
        raise InputError("nothing to learn from: give --outcomes FILE")
    settings = load_settings()
    sets = [read_outcome_set(path) for path in (outcomes, test) if path is not None]
    for each in sets:
        if each.warning():
            say(f"warning: {each.warning()}")
    matrices = (sets[0].matrix, sets[1].matrix) if test is not None else split_for_test(sets[0].matrix, seed)
    config = RoutingConfig(
        pool=None if pool is None else tuple(part.strip() for part in pool.split(",") if part.strip()),
        cost=None if cost is None else one_of("--cost", cost, COST_KINDS),
        seed=seed,
        use_task=use_task,
    )
    with progress_bar() as progress:
        result = train_router(
            *matrices,
            tracking=TrackingConfig(**settings.tracking.model_dump()),
            learner=RouterLearner(
                one_of("--encoder", encoder, ENCODERS), prices=settings.prices(), progress=Bars(progress).advance
            ),
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
    print_registered(result)
    stdout.print("next: beast promote", highlight=False)


def print_registered(result: TrainingResult) -> None:
    """Print what was registered."""
    registered = result.registered
    parts = ", ".join(f"{name} {version}" for name, version in sorted(registered.parts.items()))
    stdout.print(f"registered {registered.uri} ({parts})", highlight=False, markup=False)
