"""`beast logs trace`: some requests of the log as traces in MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beast_ml.cli.output import JsonOption, print_json, progress_bar, stdout
from beast_ml.cli.past_time import past_time
from beast_ml.errors import InputError

__all__ = ["trace_log"]


def trace_log(
    share: Annotated[float, typer.Option(help="Share of the requests, 0..1; the same ones each time.")] = 0.01,
    since: Annotated[str, typer.Option(help="A time (2026-11-25T08:00Z), or how long ago (24h, 30d).")] = "24h",
    failed: Annotated[bool, typer.Option("--failed", help="All failed requests besides.")] = False,
    store: Annotated[Path | None, typer.Option(help="The log store; default: logs.store in mlflow.yaml.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a sample of the log into MLflow as traces: the decision, each call, what became of it.

    Run it by a timer: requests that have a trace are left alone. Nothing of it is on the path of a request. Prompts
    are in it as the log has them: withheld where the tenant wants that.
    """
    from beast_ml.logs.schema import REQUEST_COLUMNS
    from beast_ml.logs.store import LogStore
    from beast_ml.registry.config import TrackingConfig
    from beast_ml.registry.traces import is_sampled, record_traces
    from beast_ml.settings import load_settings

    if not 0.0 <= share <= 1.0:
        raise InputError(f"`--share` == {share:g}, must be in 0..1")
    settings = load_settings()
    log, start = LogStore(store or settings.logs.store), past_time("--since", since)
    rows = [
        row
        for batch in log.batches(list(REQUEST_COLUMNS), start)
        for row in batch.to_pylist()
        if is_sampled(row["request_id"], share) or (failed and row["status"] in ("error", "timeout"))
    ]
    with progress_bar() as progress:
        task = progress.add_task("writing traces", total=len(rows))
        config = TrackingConfig(**settings.tracking.model_dump())
        n_written = record_traces(config, rows, lambda: progress.advance(task))
    if as_json:
        print_json({"sampled": len(rows), "written": n_written})
        return
    known = len(rows) - n_written
    stdout.print(f"{n_written} traces written, {known} were there: `beast ui`, GenAI, Traces", highlight=False)
