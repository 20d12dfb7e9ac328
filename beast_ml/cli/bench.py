"""`beast bench`: reruns the published figures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from beast_ml.cli.bench_chaos import chaos
from beast_ml.cli.bench_options import (
    FoldsDrawnOption,
    FoldsOption,
    LiteLLMOption,
    MorePromptsOption,
    PartsOption,
    RepeatsOption,
    ResumedOutOption,
    SecondsOption,
    command_line,
    say_written,
)
from beast_ml.cli.bench_peers import peers
from beast_ml.cli.bench_scale import scale
from beast_ml.cli.data import PublicSetsOption, data_folder
from beast_ml.cli.output import Bars, JsonOption, one_of, print_json, print_table, progress_bar, say
from beast_ml.cli.told_to_stop import stopped_like_ctrl_c

__all__ = ["app"]

app = typer.Typer(name="bench", help="Rerun the published figures.", no_args_is_help=True)
app.command()(peers)
app.command()(scale)
app.command()(chaos)

_QUICK_FOLDS, _QUICK_SEEDS, _QUICK_RESAMPLES = 3, 1, 200


@app.callback()
def _bench() -> None:
    """Rerun the published figures."""


@app.command()
def routing(
    sets: Annotated[str | None, typer.Option(help="Sets, separated by commas; default: all that are there.")] = None,
    parts: PartsOption = None,
    seeds: FoldsDrawnOption = 3,
    folds: FoldsOption = 5,
    encoder: Annotated[str, typer.Option(help="static, or minilm (slower).")] = "static",
    peers: Annotated[bool, typer.Option("--peers", help="Run installed external routers as well.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="BEAST_DATA_DIR", help="Folder of the public sets, as for `beast data`; sets not in it are left out."
        ),
    ] = None,
    out: ResumedOutOption = Path("beast-out/bench-routing"),
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
    command = command_line()
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
    say_written(out, [picture.name for picture in pictures])


@app.command()
def serving(
    parts: Annotated[
        str | None, typer.Option(help="capacity, gateway, hit, faults, soak, separated by commas; default: all.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Most workers, measured from 1 on; default: one a core, at most 4.")
    ] = None,
    seconds: SecondsOption = 10.0,
    repeats: RepeatsOption = 5,
    generator: Annotated[str, typer.Option(help="Of closed loops: wrk, own, or auto: wrk where installed.")] = "auto",
    faults: Annotated[str | None, typer.Option(help="Faults, separated by commas; default: all.")] = None,
    fault_rate: Annotated[float, typer.Option(min=1, help="Requests a second while something breaks.")] = 200.0,
    soak_minutes: Annotated[float, typer.Option(min=0, help="Length of the soak; 0: none.")] = 0.0,
    soak_rate: Annotated[float, typer.Option(min=1, help="Requests a second of the soak.")] = 500.0,
    litellm: LiteLLMOption = None,
    data: MorePromptsOption = None,
    out: ResumedOutOption = Path("beast-out/bench-serving"),
    quick: Annotated[bool, typer.Option("--quick", help="A rough look: 2 seconds, 1 repetition.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Put a real server under load from another process, beside a bare echo in the same run.

    Requests a second, latencies, CPU time and memory from 1 to N workers, the gateway against a fake provider, what an
    exact hit of the cache costs, what fails and is lost when things break, and a soak. Writes report.md, report.json
    and pictures.
    """
    from beast_ml.benchmarks.results import write_bytes, write_json
    from beast_ml.benchmarks.serving.cases import Effort
    from beast_ml.benchmarks.serving.fault_scenes import SCENES
    from beast_ml.benchmarks.serving.faults import Timing
    from beast_ml.benchmarks.serving.plots import draw_all
    from beast_ml.benchmarks.serving.report import describe, measured, summary, to_markdown
    from beast_ml.benchmarks.serving.serving_bench import PARTS, ServingBench, ServingConfig, choose
    from beast_ml.benchmarks.serving.verdicts import targets
    from beast_ml.benchmarks.serving.wrk import wrk_version

    which = one_of("--generator", generator, ("auto", "wrk", "own"))
    config = ServingConfig(
        parts=choose("--parts", parts, PARTS),
        effort=Effort(2.0, 1.0, 1) if quick else Effort(seconds, 2.0, repeats),
        workers=workers or min(os.cpu_count() or 1, 4),
        wrk=which == "wrk" or (which == "auto" and wrk_version() is not None),
        litellm=litellm,
        soak_minutes=soak_minutes,
        soak_rate=soak_rate,
        faults=choose("--faults", faults, tuple(SCENES)),
        timing=Timing(1.0, 3.0, 8.0, fault_rate) if quick else Timing(5.0, 15.0, 30.0, fault_rate),
        data=data,
        out=out.absolute(),
    )
    with stopped_like_ctrl_c(), progress_bar() as progress:
        result = ServingBench(config, say, Bars(progress).advance).run()
    command = command_line()
    report = describe(config, result, command)
    write_json(out / "report.json", report)
    write_bytes(out / "report.md", to_markdown(config, result, command).encode())
    pictures = draw_all(result, out)
    if as_json:
        print_json(report)
        return
    words = {True: "met", False: "not met", None: "not measured"}
    found = targets(result)
    print_table(
        summary(found),
        ("figure", "wanted", "measured", ""),
        [(one.name, one.wanted, measured(one), words[one.met]) for one in found if one.met is not None],
        caption="Median over repetitions, and from the lowest to the highest.",
    )
    say_written(out, [picture.name for picture in pictures])


@app.command()
def cache(
    sets: Annotated[
        str | None,
        typer.Option(
            help="qqp, mrpc, banking77, mock, adversarial, entries, replay, separated by commas; default: all."
        ),
    ] = None,
    splits: Annotated[int, typer.Option(min=2, help="Random splits of each set.")] = 20,
    most_pairs: Annotated[int, typer.Option(min=200, help="At most so many pairs of a set, drawn.")] = 12_000,
    peers: Annotated[bool, typer.Option("--peers", help="Run GPTCache as well, where it is installed.")] = False,
    data: PublicSetsOption = None,
    out: ResumedOutOption = Path("beast-out/bench-cache"),
    quick: Annotated[
        bool, typer.Option("--quick", help="A rough look: 3 splits, 1,500 pairs, a short replay.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure whether the cache keeps its false-hit rate, and how many hits that leaves, beside other caches.

    The part "replay" runs two simulated streams through the cache, one feature more at a time: 8,000 requests each,
    1,500 with --quick. Writes report.md, report.json and ladder.png. Embedding takes about 4 ms a text, a split 5
    seconds, the replay about 10 minutes (1 to 2 with --quick).
    """
    from beast_ml.benchmarks.cache.pairs_bench import PAIR_PARTS, PairsBench, PairsConfig
    from beast_ml.benchmarks.cache.pairs_report import sheets, to_markdown
    from beast_ml.benchmarks.cache.replay_part import QUICK_REPLAY, ReplaySize
    from beast_ml.benchmarks.cache.replay_report import draw_ladder
    from beast_ml.benchmarks.results import write_bytes, write_json
    from beast_ml.benchmarks.serving.serving_bench import choose
    from beast_ml.cache.embedding.onnx_encoder import OnnxEncoder
    from beast_ml.features.distill import static_encoder

    config = PairsConfig(
        sets=choose("--sets", sets, PAIR_PARTS),
        n_splits=3 if quick else splits,
        most_pairs=min(most_pairs, 1500) if quick else most_pairs,
        data=data_folder(data),
        out=out,
        peers=peers,
        replay=QUICK_REPLAY if quick else ReplaySize(),
    )
    with progress_bar() as progress:
        found = PairsBench(config, OnnxEncoder.minilm(), static_encoder(), say, Bars(progress).advance).run()
    write_json(out / "report.json", found)
    write_bytes(out / "report.md", to_markdown(found, command_line()).encode())
    replayed = found["sets"].get("replay")
    pictures: list[Path] = []
    if replayed is not None:
        pictures.append(out / "ladder.png")
        draw_ladder(replayed, pictures[0])
    if as_json:
        print_json(found)
        return
    for sheet in sheets(found):
        print_table(sheet.title, sheet.columns, sheet.rows)
    say_written(out, [picture.name for picture in pictures])


@app.command()
def learning(
    parts: PartsOption = None,
    encoder: Annotated[str, typer.Option(help="static, or minilm (slower).")] = "static",
    data: PublicSetsOption = None,
    out: ResumedOutOption = Path("beast-out/bench-learning"),
    quick: Annotated[bool, typer.Option("--quick", help="A rough look: fewer logs of everything.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure what logs teach, on logs simulated from outcomes whose truth is known.

    "ope": do intervals of policies that never ran hold the truth, and does the verdict say where they do not.
    "feedback": how much of the full-information gain is reached with few labels and short logs. "sequential": tests
    that are looked at all the time. "drift": days until a silently changed model is found, and false alarms. "loop": a
    simulated year with three shifts, the learning loop beside other ways to learn. "savings": do the figures of the
    savings report hold, and what does context buy. "tuning": what a search of settings gives over the defaults on
    unseen questions. Writes report.md and report.json. Some two hours for all parts, of which "ope"
    takes the longest; minutes with --quick.
    """
    from beast_ml.benchmarks.learning.parts import LEARNING_PARTS, describe, run_parts, tables, to_markdown
    from beast_ml.benchmarks.part_context import PartContext
    from beast_ml.benchmarks.results import write_bytes, write_json
    from beast_ml.benchmarks.serving.serving_bench import choose
    from beast_ml.policy.learner import ENCODERS

    context = PartContext(
        data=data_folder(data),
        encoder=one_of("--encoder", encoder, ENCODERS),
        n_seeds=1,
        quick=quick,
        peers=False,
        folder=out / "parts",
        say=say,
    )
    results = run_parts(choose("--parts", parts, tuple(LEARNING_PARTS)), context)
    command = command_line()
    report = describe(results, command)
    write_json(out / "report.json", report)
    write_bytes(out / "report.md", to_markdown(results, command).encode())
    if as_json:
        print_json(report)
        return
    for one in results:
        for title, columns, rows in tables(one):
            print_table(title, columns, rows)
    say_written(out)
