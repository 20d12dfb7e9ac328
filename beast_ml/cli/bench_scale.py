"""`beast bench scale`: what a request costs, what a rate takes, what gives out first, and what it cost before."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Annotated

import typer

from beast_ml.cli.bench_options import (
    MorePromptsOption,
    RepeatsOption,
    ResumedOutOption,
    SecondsOption,
    command_line,
    say_written,
)
from beast_ml.cli.output import Bars, JsonOption, print_json, print_table, progress_bar, say
from beast_ml.cli.told_to_stop import stopped_like_ctrl_c
from beast_ml.errors import InputError

__all__ = ["scale"]

_TRACE = Path("trace_azure2023_conv") / "trace.parquet"


def scale(
    parts: Annotated[str | None, typer.Option(help="cost, plan, releases, separated by commas; default: all.")] = None,
    deployments: Annotated[
        str | None, typer.Option(help="alone, shared, valkey, separated by commas; default: all.")
    ] = None,
    paths: Annotated[str | None, typer.Option(help="Paths, separated by commas; default: all.")] = None,
    seconds: SecondsOption = 4.0,
    repeats: RepeatsOption = 3,
    rates: Annotated[str, typer.Option(help="Requests a second to plan for, at the peak.")] = "10000,100000,1000000",
    mix: Annotated[
        list[str] | None,
        typer.Option(help="route, gateway, or PATH=SHARE,PATH=SHARE,...; may be repeated. Default: route and gateway."),
    ] = None,
    cost: Annotated[
        Path | None,
        typer.Option(help="A report.json to plan from, where nothing is measured; default: the one in --out."),
    ] = None,
    first: Annotated[
        str | None,
        typer.Option(help="Commit to compare with; default: the tag serving-first, or the commit that it stands for."),
    ] = None,
    cores: Annotated[int, typer.Option(min=2, help="Of a replica; one runs no worker.")] = 8,
    utilisation: Annotated[float, typer.Option(help="Most of its time that anything may be busy.")] = 0.6,
    p95_ms: Annotated[float, typer.Option(help="Most that the p95 of our own time may be, at the peak.")] = 5.0,
    spare: Annotated[int, typer.Option(min=0, help="Replicas of each cell that may be away at the peak.")] = 2,
    peak_to_mean: Annotated[
        float | None, typer.Option(help="Default: busiest minute of Azure's trace in --data, or 1.52, which is it.")
    ] = None,
    speed: Annotated[float, typer.Option(help="Of a planned core, in those that were measured.")] = 1.0,
    usd_per_core_hour: Annotated[float, typer.Option(help="Price of a core.")] = 0.04048,
    usd_per_gb_hour: Annotated[float, typer.Option(help="Price of a GB of memory.")] = 0.004445,
    trained: Annotated[
        Path | None, typer.Option(help="Folder of `beast cache build`: alike requests are looked for, too.")
    ] = None,
    data: MorePromptsOption = None,
    out: ResumedOutOption = Path("beast-out/bench-scale"),
    quick: Annotated[bool, typer.Option("--quick", help="A rough look: 1 second, 1 repetition.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure what a request costs, plan machines and dollars from it, and compare with the first release.

    "cost" drives a real server with and without Valkey and PostgreSQL: CPU time of every process, memory, bytes and
    statements a request, beside a bare echo. "plan" says what 10,000 to a million requests a second take, and what
    gives out first. "releases" checks an earlier commit out and measures its server and this one's in turns. Writes
    report.md, report.json and pictures. Half an hour for everything, on two cores.
    """
    from beast_ml.benchmarks.results import write_bytes, write_json
    from beast_ml.benchmarks.scale.cost_model import read_cost_model
    from beast_ml.benchmarks.scale.deployments import DEPLOYMENTS
    from beast_ml.benchmarks.scale.mix import MIXES, choose_mix
    from beast_ml.benchmarks.scale.paths import PATHS
    from beast_ml.benchmarks.scale.plots import draw_all
    from beast_ml.benchmarks.scale.report import (
        PLAN_COLUMNS,
        RELEASE_COLUMNS,
        describe,
        plan_rows,
        release_rows,
        to_markdown,
    )
    from beast_ml.benchmarks.scale.scale_bench import PARTS, ScaleBench, ScaleConfig, choose_rates
    from beast_ml.benchmarks.scale.site import Site
    from beast_ml.benchmarks.scale.site import peak_to_mean as traced_peak
    from beast_ml.benchmarks.serving.cases import Effort
    from beast_ml.benchmarks.serving.serving_bench import choose

    trace = None if data is None else data / _TRACE
    if peak_to_mean is None:
        peak_to_mean = traced_peak(trace) if trace is not None and trace.is_file() else Site().peak_to_mean
    config = ScaleConfig(
        parts=choose("--parts", parts, PARTS),
        effort=Effort(1.0, 0.5, 1) if quick else Effort(seconds, 1.0, repeats),
        deployments=choose("--deployments", deployments, tuple(DEPLOYMENTS)),
        paths=choose("--paths", paths, tuple(PATHS)),
        rates=choose_rates(rates),
        mixes={each: choose_mix(each, tuple(PATHS)) for each in mix or MIXES},
        site=Site(
            cores=cores,
            utilisation=utilisation,
            p95_ms=p95_ms,
            spare=spare,
            peak_to_mean=peak_to_mean,
            speed=speed,
            usd_per_core_hour=usd_per_core_hour,
            usd_per_gb_hour=usd_per_gb_hour,
        ),
        first=first,
        trained=trained,
        data=data,
        out=out.absolute(),
    )
    known = None
    if "cost" not in config.parts:  # what was measured before stays in the report
        with nullcontext() if "plan" in config.parts else suppress(InputError):
            known = read_cost_model(cost or out / "report.json")
    with stopped_like_ctrl_c(), progress_bar() as progress:
        result = ScaleBench(config, known, say, Bars(progress).advance).run()
    command = command_line()
    report = describe(config, result, command)
    write_json(out / "report.json", report)
    write_bytes(out / "report.md", to_markdown(config, result, command).encode())
    pictures = draw_all(result, out)
    if as_json:
        print_json(report)
        return
    if result.plans:
        print_table("What a rate takes", PLAN_COLUMNS, list(plan_rows(result.plans)))
    if result.releases is not None:
        print_table("Beside the first release that serves", RELEASE_COLUMNS, list(release_rows(result.releases)))
    say_written(out, [picture.name for picture in pictures])
