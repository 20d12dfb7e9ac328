"""`beast tune`: searches for settings that pay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beast_ml.cli.data import data_folder
from beast_ml.cli.output import Bars, JsonOption, one_of, print_json, print_table, progress_bar, stdout
from beast_ml.cli.tune_router import app as router_app
from beast_ml.errors import InputError

if TYPE_CHECKING:
    from beast_ml.cache.lifetimes import Lifetimes
    from beast_ml.cache.replay.stream import Stream
    from beast_ml.cache.tuning import CacheTuning, Trial

__all__ = ["app"]

app = typer.Typer(name="tune", help="Search for settings that pay.", no_args_is_help=True)
app.add_typer(router_app)


@app.callback()
def _tune() -> None:
    """Search for settings that pay."""


@app.command()
def cache(
    store: Annotated[Path | None, typer.Option(help="The log store; default: logs.store in mlflow.yaml.")] = None,
    simulate: Annotated[
        str | None, typer.Option(help="Instead of a log: a simulated stream, ordinary or hostile.")
    ] = None,
    since_days: Annotated[int, typer.Option(min=2, help="How many days of the log to replay.")] = 28,
    lifetimes: Annotated[
        Path | None, typer.Option(help="A JSON file of learned lives; default: guesses by kind of request.")
    ] = None,
    requests: Annotated[int, typer.Option(min=200, help="Of a simulated stream.")] = 12_000,
    trials: Annotated[int, typer.Option(min=1, help="Settings to try beside those in force.")] = 30,
    memory_price: Annotated[float, typer.Option(min=0.0, help="USD for a GB of memory and an hour.")] = 0.005,
    stale_price: Annotated[float, typer.Option(min=0.0, help="USD for an answer that is out of date.")] = 0.05,
    false_price: Annotated[float, typer.Option(min=0.0, help="USD for an answer to another question.")] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = 0,
    data: Annotated[
        Path | None, typer.Option(envvar="BEAST_DATA_DIR", help="Folder of the public sets, for a simulated stream.")
    ] = None,
    out: Annotated[Path, typer.Option(help="File for the settings, to be put into mlflow.yaml.")] = Path(
        "beast-out/cache.yaml"
    ),
    as_json: JsonOption = False,
) -> None:
    """Search memory and lives of the cache by replaying what was asked.

    The first half tunes, the second judges; the settings in force are the first trial, and stay if nothing beats them.
    Worth: what right hits saved, less the price of memory and of wrong answers. How sure a semantic hit must be is no
    setting to trade with. When answers change is in no log; it is drawn from the lives that are learned, or guessed.
    """
    from beast_ml.cache.tuning import CacheChoice, CacheTuner, TuningPrices
    from beast_ml.durable import write_durably
    from beast_ml.operations.cache_tuning import kept_choice, record_tuning, settings_fragment
    from beast_ml.registry.config import TrackingConfig
    from beast_ml.settings import load_settings

    if simulate is not None and store is not None:
        raise InputError("give --store or --simulate, not both")
    settings = load_settings()
    told = settings.cache
    if simulate is None:
        stream, lives_at = _logged(store or settings.logs.store, since_days, lifetimes, seed)
    else:
        stream, lives_at = _simulated(simulate, requests, seed, data_folder(data))
    baseline = CacheChoice(
        memory_entries=told.memory_entries,
        memory_mb=told.memory_mb,
        lives_s=told.lives_s,
        life_s=told.life_s,
        n_looked_at=told.memory_looked_at,
    )
    prices = TuningPrices(memory_price, stale_price, false_price)
    with progress_bar() as progress:
        bars = Bars(progress)
        tuning = CacheTuner(stream, baseline, lives_at, prices=prices, seed=seed).tune(
            trials, lambda done, total: bars.advance("trials", done, total)
        )
    run_id = record_tuning(tuning, stream, prices, TrackingConfig(**settings.tracking.model_dump()), seed)
    write_durably(out, settings_fragment(tuning, stream.source).encode())
    if as_json:
        print_json(
            {
                "source": stream.source,
                "trials": len(tuning.trials),
                "worth_usd": {"baseline": tuning.baseline.worth_usd, "tuned": tuning.best.worth_usd},
                "tuned": dict(tuning.best.params),
                "kept": "tuned" if kept_choice(tuning) != baseline else "baseline",
                "settings": str(out),
                "run_id": run_id,
            }
        )
        return
    _show(tuning, stream)
    stdout.print(f"wrote {out}: put it into mlflow.yaml; run {run_id}", highlight=False, markup=False)


def _logged(
    store: Path, since_days: int, lifetimes: Path | None, seed: int
) -> tuple[Stream, Callable[[float, float], Lifetimes]]:
    import numpy as np

    from beast_ml.cache.replay.asked_stream import lives_at, stream_of_asked
    from beast_ml.operations.cache_sources import read_asked_requests, read_lives

    lives = read_lives(lifetimes)
    asked = read_asked_requests(store, since_days)
    stream = stream_of_asked(asked, lives, np.random.default_rng(seed), str(store))
    return stream, lambda share, max_s: lives_at(lives, share, max_s)


def _simulated(name: str, n_requests: int, seed: int, data: Path) -> tuple[Stream, Callable[[float, float], Lifetimes]]:
    from beast_ml.benchmarks.cache.lives import compare_lives
    from beast_ml.benchmarks.cache.replay_part import resized
    from beast_ml.benchmarks.cache.stream import HOSTILE, ORDINARY, make_stream
    from beast_ml.cache.lifetimes import fit_lifetimes

    settings = {each.name: each for each in (ORDINARY, HOSTILE)}
    setting = settings[one_of("--simulate", name, tuple(settings))]
    stream = make_stream(resized(setting, n_requests), seed, data)
    seen = compare_lives(stream, 86_400.0).observations
    return stream, lambda share, max_s: fit_lifetimes(seen, share, max_s=max_s)


def _show(tuning: CacheTuning, stream: Stream) -> None:
    def row(name: str, trial: Trial) -> tuple[object, ...]:
        report = trial.report
        return (
            name,
            trial.worth_usd,
            report.n_hits / max(1, report.n_requests),
            report.saved_usd,
            report.n_stale,
            report.n_false,
            trial.memory_gb_h,
        )

    print_table(
        f"On the second half of {stream.source}",
        ("settings", "worth USD", "hit rate", "saved USD", "stale", "false", "memory GB h"),
        (row("in force", tuning.baseline), row("tuned", tuning.best)),
        caption=f"{len(tuning.trials)} trials on the first half, the settings in force the first of them",
    )
    if tuning.best.params:
        print_table("Tuned", ("setting", "value"), sorted(tuning.best.params.items()))
