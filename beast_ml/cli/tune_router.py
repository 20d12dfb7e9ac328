"""`beast tune router`: how a router should learn, searched on outcomes and proven on others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beast_ml.cli.known_context import UseApp, UseTask, known_context
from beast_ml.cli.known_prices import known_prices
from beast_ml.cli.output import Bars, JsonOption, one_of, print_json, print_table, progress_bar, say, stdout
from beast_ml.errors import InputError

if TYPE_CHECKING:
    from beast_ml.operations.router_tuning.nested import NestedTuning

__all__ = ["app"]

app = typer.Typer()


@app.command()
def router(
    outcomes: Annotated[
        Path, typer.Option(help="Outcome table: every candidate's outcome for each query (Parquet, JSONL, CSV).")
    ],
    trials: Annotated[int, typer.Option(min=2, help="Settings to try in every search, the defaults among them.")] = 20,
    outer_folds: Annotated[int, typer.Option(min=2, help="Parts of the questions that judge, each unseen.")] = 3,
    inner_folds: Annotated[int, typer.Option(min=2, help="Parts of the rest that trials are scored on.")] = 3,
    encoders: Annotated[
        str, typer.Option(help="Encoders to try, separated by commas; the first is the default.")
    ] = "static,tuned,hashing",
    pool: Annotated[str | None, typer.Option(help="Models to choose from, separated by commas; default: all.")] = None,
    cost: Annotated[str | None, typer.Option(help="cost_usd, latency_s or none; default: what the data have.")] = None,
    use_task: UseTask = False,
    use_app: UseApp = False,
    quality_target: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="Share of the best model's quality to reach; see the frontier.")
    ] = 1.0,
    study: Annotated[
        str | None, typer.Option(help="Name of the search: the same again goes on with it, or helps it; default: file.")
    ] = None,
    storage: Annotated[
        str, typer.Option(help="Where trials are kept: sqlite:///file, or postgresql://... for several machines.")
    ] = "sqlite:///beast-out/tuning.db",
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = 0,
    out: Annotated[Path, typer.Option(help="File for the settings, for `beast train --settings`.")] = Path(
        "beast-out/router.yaml"
    ),
    as_json: JsonOption = False,
) -> None:
    """Search for settings of a router that pay: features, families, shrinkage, networks, calibration, quality target.

    Each outer part of the questions judges what was found without it; a last search on all questions gives the
    settings. The defaults are the first trial, and stay unless the gain on unseen questions is beyond noise. Run the
    same command again to go on after an interruption, or in several processes at once to share the work.
    """
    from beast_ml.durable import write_durably
    from beast_ml.evaluation.outcome_files import read_outcome_set
    from beast_ml.evaluation.pool import choose_pool
    from beast_ml.features.kinds import KIND_TABLE
    from beast_ml.operations.router_tuning.frontier import draw_trials
    from beast_ml.operations.router_tuning.nested import TuningPlan, tune_nested
    from beast_ml.operations.router_tuning.record import record_router_tuning, settings_file
    from beast_ml.operations.router_tuning.search_space import SearchSpace
    from beast_ml.operations.router_tuning.storage import open_storage
    from beast_ml.policy.learner import ENCODERS, RouterLearner
    from beast_ml.policy.utility import COST_KINDS
    from beast_ml.registry.config import TrackingConfig
    from beast_ml.settings import load_settings

    names = [part.strip() for part in encoders.split(",") if part.strip()]
    if not names:
        raise InputError("`--encoders` names none, must name at least one")
    space = SearchSpace(tuple(one_of("--encoders", name, ENCODERS) for name in names), known_context(use_task, use_app))
    settings = load_settings()
    prices = known_prices(settings)
    _refuse_log(outcomes)
    read = read_outcome_set(outcomes)
    if read.warning():
        say(f"warning: {read.warning()}")
    given = read.matrix.priced(prices)
    asked = None if pool is None else [part.strip() for part in pool.split(",") if part.strip()]
    chosen = choose_pool(given, asked, None if cost is None else one_of("--cost", cost, COST_KINDS))
    pooled = given.pool(chosen.models)
    plan = TuningPlan(trials, outer_folds, inner_folds, space, study or outcomes.stem, seed)
    learner = RouterLearner(prices=prices, kinds=KIND_TABLE.extended(settings.kinds))
    kept_in = open_storage(storage)
    with progress_bar() as progress:
        tuning = tune_nested(pooled, chosen.cost, learner, plan, kept_in, progress=Bars(progress).advance)
    kept = tuning.kept_at(quality_target)
    picture = out.with_suffix(".png")
    draw_trials(picture, tuning.trials, chosen.cost)
    write_durably(out, settings_file(tuning, kept, str(outcomes)).encode())
    tracking = TrackingConfig(**settings.tracking.model_dump())
    run_id = record_router_tuning(tuning, kept, plan, pooled, str(outcomes), picture, tracking)
    if as_json:
        print_json(_described(tuning) | {"settings": str(out), "plot": str(picture), "run_id": run_id})
        return
    _show(tuning, outcomes)
    stdout.print(f"wrote {out}, {picture}; run {run_id}", highlight=False, markup=False)
    stdout.print(f"next: beast train --outcomes {outcomes} --settings {out}", highlight=False, markup=False)


def _refuse_log(path: Path) -> None:
    from beast_ml.logs.sources.raw_rows import raw_rows

    first = next(raw_rows(path, 1), None) if path.is_file() else None
    if path.is_dir() or (first is not None and "chosen_model" in first.row):
        raise InputError(
            f"{path} is a log, which knows what the chosen model got and nothing of the others: settings cannot be "
            "compared on it question by question, and off-policy estimates hardly tell them apart. Let every candidate "
            "answer a sample of its prompts, and give that as an outcome table; or "
            f"learn from the log with the defaults: beast train --log {path}"
        )


def _described(tuning: NestedTuning) -> dict[str, object]:
    from dataclasses import asdict

    import msgspec

    from beast_ml.operations.router_tuning.frontier import changes, trial_frontier

    assert tuning.best is not None  # noqa: S101  the command searches on everything
    return {
        "queries": tuning.n_queries,
        "gain": asdict(tuning.gain),
        "proven": tuning.gain.is_proven,
        "kept": "tuned" if tuning.kept != tuning.defaults else "defaults",
        "found": msgspec.to_builtins(tuning.best.settings),
        "trials": len(tuning.trials),
        "pruned": sum(trial.pruned for trial in tuning.trials),
        "frontier": [
            {
                "trial": trial.number,
                "quality": trial.quality,
                "cost": trial.cost,
                "latency_s": trial.latency_s,
                "changes": changes(trial, tuning.trials[0]),
            }
            for trial in trial_frontier(tuning.trials)
        ],
    }


def _show(tuning: NestedTuning, source: Path) -> None:
    from beast_ml.operations.router_tuning.frontier import changes, trial_frontier
    from beast_ml.operations.router_tuning.record import gain_sentence

    n_pruned = sum(trial.pruned for trial in tuning.trials)
    rows = [
        (
            trial.number,
            trial.quality,
            trial.cost,
            "" if trial.latency_s is None else f"{trial.latency_s:.3g}",
            ", ".join(f"{name} {_short(value)}" for name, value in changes(trial, tuning.trials[0]).items())
            or "defaults",
        )
        for trial in trial_frontier(tuning.trials)
    ]
    print_table(
        f"Trials on {source.name} that nothing beats",
        ("trial", "quality", "cost", "latency s", "changed"),
        rows,
        caption=f"{len(tuning.trials)} trials on inner folds, {n_pruned} of them given up early",
    )
    sentence = gain_sentence(tuning.gain)
    stdout.print(sentence[0].upper() + sentence[1:], highlight=False, markup=False, style="bold")


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
