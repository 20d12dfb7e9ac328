"""`beast scorecard`: every target of the roadmap, measured here and now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from beast_ml.cli.bench_options import command_line
from beast_ml.cli.data import data_folder
from beast_ml.cli.output import Bars, JsonOption, print_json, print_table, progress_bar, say, stdout
from beast_ml.cli.told_to_stop import stopped_like_ctrl_c

__all__ = ["app"]

app = typer.Typer()


@app.command()
def scorecard(
    only: Annotated[
        str | None,
        typer.Option(
            help="serving, routing, kinds, cache, context, tuning, budgets, log, selection, changes, coverage, "
            "separated by commas: what to measure; default: all."
        ),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(
            "--store",
            "--log",
            help="Log store of a deployment; default: a drill with a fake provider takes its place.",
        ),
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="report.json of an earlier `beast bench serving`, to tell what was gained.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(envvar="BEAST_DATA_DIR", help="Folder of the public sets; what is not in it is not measurable."),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for all that is measured; what an interrupted run left there is used.")
    ] = Path("beast-out/scorecard"),
    quick: Annotated[bool, typer.Option("--quick", help="A rough look at everything: wider intervals.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure every target of the roadmap, and say which are met, which are not, and which cannot be told here.

    It runs the benchmarks, it does not quote them: hours for everything, less with --quick, minutes with
    --only log,budgets. Writes scorecard.md and scorecard.json: each target's definition, value with interval, the
    ceiling that the data allow, the verdict and the command that measures it again.
    """
    from beast_ml.benchmarks.results import write_bytes, write_json
    from beast_ml.benchmarks.scorecard.card import ceiling, describe, goal, measure_all, measured, summary, to_markdown
    from beast_ml.benchmarks.scorecard.roadmap import SOURCES
    from beast_ml.benchmarks.scorecard.sources import Plan, Sources
    from beast_ml.benchmarks.serving.serving_bench import choose

    names = choose("--only", only, SOURCES)
    plan = Plan(out.absolute(), data_folder(data), log, None if baseline is None else _baseline(baseline), quick)
    with stopped_like_ctrl_c(), progress_bar() as progress:
        scores = measure_all(Sources(plan, say), names, Bars(progress).advance)
    command = command_line()
    report = describe(scores, command)
    write_json(out / "scorecard.json", report)
    write_bytes(out / "scorecard.md", to_markdown(scores, command).encode())
    if as_json:
        print_json(report)
        return
    print_table(
        summary(scores),
        ("target", "goal", "measured", "ceiling", ""),
        [(one.target.name, goal(one.target), measured(one), ceiling(one), one.word) for one in scores],
        caption="Brackets: 95% intervals, or ranges over repetitions. Definitions and commands: scorecard.md.",
    )
    for why in dict.fromkeys(one.why_not for one in scores if one.why_not):
        say(f"not measurable here: {why}")
    stdout.print(f"wrote {out}/scorecard.md, scorecard.json", highlight=False, markup=False)


def _baseline(path: Path) -> dict[str, Any]:
    from beast_ml.errors import DataError

    try:
        found = json.loads(path.read_bytes())
        if not isinstance(found, dict) or "targets" not in found:
            raise ValueError("it has no targets")
    except (OSError, ValueError) as error:
        raise DataError(
            f"`--baseline` == {str(path)!r}: {error}; give the report.json that `beast bench serving` wrote"
        ) from error
    return found
