"""`beast bench peers`: ours beside other people's routers and caches, in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beast_ml.cli.bench_options import (
    FoldsDrawnOption,
    FoldsOption,
    LiteLLMOption,
    ResumedOutOption,
    command_line,
    say_written,
)
from beast_ml.cli.data import PublicSetsOption, data_folder
from beast_ml.cli.output import Bars, JsonOption, print_json, print_table, progress_bar, say
from beast_ml.cli.told_to_stop import stopped_like_ctrl_c

__all__ = ["peers"]

_QUICK_FOLDS, _QUICK_RESAMPLES, _QUICK_SPLITS, _QUICK_PAIRS = 3, 200, 3, 1500


def peers(
    fields: Annotated[
        str | None, typer.Option(help="routing, cache, service, separated by commas; default: all.")
    ] = None,
    sets: Annotated[
        str, typer.Option(help="Sets of outcomes for routers, separated by commas.")
    ] = "quickstart,routerbench3,bfcl,mmlu,gsm8k",
    seeds: FoldsDrawnOption = 1,
    folds: FoldsOption = 5,
    splits: Annotated[int, typer.Option(min=2, help="Random splits of each set of pairs for caches.")] = 20,
    litellm: LiteLLMOption = None,
    data: PublicSetsOption = None,
    out: ResumedOutOption = Path("beast-out/bench-peers"),
    quick: Annotated[bool, typer.Option("--quick", help="A rough look: 3 folds, 3 splits, fewer pairs.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare with other people's routers and caches: same data, same vectors, same run.

    Routing: RouteLLM's matrix factorisation, ParetoBandit, LLMRouter (both row orders), nearest neighbours. Cache:
    GPTCache, a fixed cosine, vCache's rule. Service: LiteLLM's router, with --litellm. Writes report.md and
    report.json. Hours for everything: peers train slowly. What is not installed is left out, and it is said how to have
    it.
    """
    from beast_ml.benchmarks.comparison.report import COLUMNS, describe, rows, summary, to_markdown
    from beast_ml.benchmarks.comparison.run import FIELDS, ComparisonConfig, compare
    from beast_ml.benchmarks.results import write_bytes, write_json
    from beast_ml.benchmarks.serving.cases import Effort
    from beast_ml.benchmarks.serving.serving_bench import choose
    from beast_ml.benchmarks.sets import choose_sets

    config = ComparisonConfig(
        fields=choose("--fields", fields, FIELDS),
        sets=choose_sets(sets),
        n_folds=_QUICK_FOLDS if quick else folds,
        n_seeds=seeds,
        n_resamples=_QUICK_RESAMPLES if quick else 1000,
        n_splits=_QUICK_SPLITS if quick else splits,
        most_pairs=_QUICK_PAIRS if quick else 12_000,
        effort=Effort(2.0, 1.0, 1) if quick else Effort(3.0, 2.0, 3),
        litellm=litellm,
        data=data_folder(data),
        out=out,
        quick=quick,
    )
    with stopped_like_ctrl_c(), progress_bar() as progress:
        contests, left_out = compare(config, say, Bars(progress).advance)
    command = command_line()
    report = describe(contests, left_out, command)
    write_json(out / "report.json", report)
    write_bytes(out / "report.md", to_markdown(contests, left_out, command).encode())
    if as_json:
        print_json(report)
        return
    print_table(summary(contests), COLUMNS, rows(contests))
    for name, why in left_out.items():
        say(f"left out: {name} ({why})")
    say_written(out)
