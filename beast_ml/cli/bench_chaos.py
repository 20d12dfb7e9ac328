"""`beast bench chaos`: faults on purpose, and what must hold throughout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beast_ml.cli.bench_options import MorePromptsOption, command_line, say_written
from beast_ml.cli.output import Bars, JsonOption, print_json, print_table, progress_bar, say, stdout
from beast_ml.cli.told_to_stop import stopped_like_ctrl_c

__all__ = ["chaos"]


def chaos(
    parts: Annotated[
        str | None,
        typer.Option(
            help="processes, disk, network, clock, provider, log, herd, registry, separated by commas; default: all."
        ),
    ] = None,
    faults: Annotated[str | None, typer.Option(help="Faults of these, separated by commas; default: all.")] = None,
    minutes: Annotated[
        float, typer.Option(min=0, max=300, help="Rounds of all faults begin until so many have passed; 0: one round.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the order of the faults, and of whom they meet.")] = 0,
    rate: Annotated[float, typer.Option(min=1, help="Requests a second all the time.")] = 20.0,
    broken_s: Annotated[float, typer.Option(min=1, help="Seconds from a fault to its mending.")] = 6.0,
    workers: Annotated[int, typer.Option(min=2, help="Of the server.")] = 2,
    data: MorePromptsOption = None,
    out: Annotated[Path, typer.Option(help="Folder for the report, the routers and the logs.")] = Path(
        "beast-out/bench-chaos"
    ),
    as_json: JsonOption = False,
) -> None:
    """Break a whole deployment on purpose, under steady load, and check by machine what must hold.

    A server of several workers with Valkey, PostgreSQL, a provider and, for the part registry, MLflow: processes are
    killed, disks fill up, networks fail, clocks jump, providers fail, files are damaged, herds come; in an order that
    the seed draws. After each: no acknowledged row lost, no budget overrun, no answer crossed, all well again within
    30 s of the mending, no status that was not named. What this machine does not permit (disks of their own need root)
    is said. Writes report.md and report.json, with the arithmetic of a year; exit code 1 where something did not hold.
    About half a minute a fault.
    """
    from beast_ml.benchmarks.chaos.report import COLUMNS, describe, summary, table, to_markdown
    from beast_ml.benchmarks.chaos.run import Chaos, ChaosConfig
    from beast_ml.benchmarks.chaos.suite import PARTS, of_parts
    from beast_ml.benchmarks.chaos.uptime import uptime
    from beast_ml.benchmarks.results import write_bytes, write_json
    from beast_ml.benchmarks.serving.payloads import base_prompts
    from beast_ml.benchmarks.serving.router_bundle import quickstart_bundle
    from beast_ml.benchmarks.serving.serving_bench import choose

    chosen = choose("--parts", parts, PARTS)
    known = of_parts(chosen)
    names = choose("--faults", faults, tuple(fault.name for fault in known))
    say("fitting the routers that are served (once)")
    config = ChaosConfig.of_faults(
        tuple(fault for fault in known if fault.name in names),
        (quickstart_bundle(out.absolute()), quickstart_bundle(out.absolute(), part=1)),
        base_prompts(data),
        minutes=minutes,
        broken_s=broken_s,
        rate=rate,
        workers=workers,
        seed=seed,
        out=out / "logs",
    )
    with stopped_like_ctrl_c(), progress_bar() as progress:
        result = Chaos(config, say, Bars(progress).advance).run()
    command = command_line()
    report = describe(config, result, command)
    write_json(out / "report.json", report)
    write_bytes(out / "report.md", to_markdown(config, result, command).encode())
    if as_json:
        print_json(report)
    else:
        print_table(summary(result, uptime(config.faults, result.rows)), COLUMNS, table(result))
        for what in result.wrong:
            stdout.print(f"broken: {what}", highlight=False, markup=False)
        say_written(out, ["logs"])
    if not result.holds:
        raise typer.Exit(1)
