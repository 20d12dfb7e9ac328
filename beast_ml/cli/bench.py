"""`beast bench`: reruns the published figures."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from beast_ml.cli.data import data_folder
from beast_ml.cli.output import Bars, JsonOption, one_of, print_json, print_table, progress_bar, say, stdout

__all__ = ["app"]

app = typer.Typer(name="bench", help="Rerun the published figures.", no_args_is_help=True)

_QUICK_FOLDS, _QUICK_SEEDS, _QUICK_RESAMPLES = 3, 1, 200


@app.callback()
def _bench() -> None:
    """Rerun the published figures."""


@app.command()
def routing(
    sets: Annotated[str | None, typer.Option(help="Sets, separated by commas; default: all that are there.")] = None,
    parts: Annotated[str | None, typer.Option(help="Parts, separated by commas; default: all.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How often folds are drawn.")] = 3,
    folds: Annotated[int, typer.Option(min=2, help="Folds of the cross-validation.")] = 5,
    encoder: Annotated[str, typer.Option(help="static, or minilm (slower).")] = "static",
    peers: Annotated[bool, typer.Option("--peers", help="Run installed external routers as well.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="BEAST_DATA_DIR", help="Folder of the public sets, as for `beast data`; sets not in it are left out."
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for the report; what an interrupted run left there is used.")
    ] = Path("beast-out/bench-routing"),
    quick: Annotated[bool, typer.Option("--quick", help="A rough look: 3 folds, 1 seed, fewer resamples.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure routing quality, savings and predictions on the public sets, by cross-validation.

    Writes report.md, report.json and pictures. Hours for everything, minutes for one set with --quick; the quickstart
    set needs no data folder.
    """
    from beast_ml.benchmarks.floors import judge_all, summary
    from beast_ml.benchmarks.parts import choose_parts
    from beast_ml.benchmarks.plots import draw_all
    from beast_ml.benchmarks.report import describe, interval, to_markdown
    from beast_ml.benchmarks.results import write_bytes, write_json
    from beast_ml.benchmarks.routing_bench import BenchConfig, run_bench
    from beast_ml.benchmarks.sets import choose_sets
    from beast_ml.policy.learner import ENCODERS

    config = BenchConfig(
        sets=choose_sets(sets),
        parts=choose_parts(parts),
        n_folds=_QUICK_FOLDS if quick else folds,
        n_seeds=_QUICK_SEEDS if quick else seeds,
        encoder=one_of("--encoder", encoder, ENCODERS),
        data=data_folder(data),
        out=out,
        peers=peers,
        n_resamples=_QUICK_RESAMPLES if quick else 1000,
        quick=quick,
    )
    with progress_bar() as progress:
        result = run_bench(config, say, Bars(progress).advance)
    command = shlex.join(["beast", *sys.argv[1:]])
    report = describe(config, result, command)
    write_json(out / "report.json", report)
    write_bytes(out / "report.md", to_markdown(config, result, command).encode())
    pictures = draw_all(result, out, config.encoder)
    if as_json:
        print_json(report)
        return
    verdicts = judge_all(result.figures, config.encoder)
    words = {True: "met", False: "not met", None: "not measured"}
    print_table(
        summary(verdicts),
        ("part", "set", "figure", "floor", "measured", ""),
        [
            (
                one.floor.part,
                one.floor.dataset,
                one.floor.name,
                one.floor.sentence,
                interval(one.figure),
                words[one.met],
            )
            for one in verdicts
            if one.met is not None
        ],
        caption="Mean over seeds ± standard error over seeds [95% interval over queries].",
    )
    written = ", ".join(path.name for path in pictures)
    stdout.print(f"wrote {out}/report.md, report.json{written and f', {written}'}", highlight=False, markup=False)
