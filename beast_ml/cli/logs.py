"""`beast logs`: what happens to routed-request logs before anything learns from them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from beast_ml.cli.logs_forget import forget_logs
from beast_ml.cli.logs_trace import trace_log
from beast_ml.cli.output import JsonOption, print_json, print_table, progress_bar, stdout
from beast_ml.cli.simulate import simulate_log
from beast_ml.errors import DataError, InputError
from beast_ml.places import is_remote, place

if TYPE_CHECKING:
    from beast_ml.logs.compaction import CompactionSummary
    from beast_ml.logs.ingest import IngestSummary
    from beast_ml.logs.quality_report import LogQuality
    from beast_ml.logs.store import LogStore

__all__ = ["app"]

_SHOWN_DAYS = 14

app = typer.Typer(name="logs", help="Ingest, compact, check and simulate routed-request logs.", no_args_is_help=True)

SourceOption = Annotated[str, typer.Option(help="auto, jsonl, parquet, litellm or openai.")]
StoreOption = Annotated[
    Path | None, typer.Option(parser=place, help="The log store; default: logs.store in mlflow.yaml.")
]

QuarantineOption = Annotated[
    Path | None, typer.Option(help="Where bad rows go; default: logs.quarantine in mlflow.yaml.")
]


@app.callback()
def _logs() -> None:
    """Ingest, compact, check and simulate routed-request logs."""


app.command("simulate")(simulate_log)
app.command("trace")(trace_log)
app.command("forget")(forget_logs)


@app.command("ingest")
def ingest_logs(
    paths: Annotated[
        list[Path], typer.Argument(parser=place, help="Log files, or folders of day=YYYY-MM-DD partitions.")
    ],
    source: SourceOption = "auto",
    store: StoreOption = None,
    quarantine: QuarantineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add log files to the store: every row is accepted, known already, or quarantined with a reason.

    Adding a file again adds nothing. Sources are our own log (JSON lines, CSV, Parquet), LiteLLM's spend logs and
    StandardLoggingPayload objects, and OpenAI-style request/response pairs.
    """
    from beast_ml.logs.store import LogStore
    from beast_ml.settings import load_settings

    settings = load_settings().logs
    target = LogStore(store or settings.store)
    summary = _ingest(paths, target, quarantine or settings.quarantine, source)
    if as_json:
        print_json(summary.to_dict())
    else:
        _show_ingest(summary, target)
    if not summary.n_accepted and not summary.n_duplicates:
        raise DataError(
            f"none of {summary.n_read} rows could be used: the quarantine says why; --source tells how to read them"
        )


@app.command("compact")
def compact_logs(
    segments: Annotated[
        Path | None,
        typer.Option(help="The segments that beast serve writes; default: in serving.state of mlflow.yaml."),
    ] = None,
    store: StoreOption = None,
    quarantine: QuarantineOption = None,
    keep_days: Annotated[
        int | None,
        typer.Option(min=1, help="Then delete what is older; default: serving.keep_logs_days of mlflow.yaml."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Take what a server has logged into the store; beast serve does so by itself every few minutes.

    Segments that are still being written are left for the next time. When it is killed, the next one goes on with it:
    no row is lost, and none comes twice.
    """
    from datetime import timedelta

    from beast_ml.domain import SystemClock
    from beast_ml.logs.compaction import compact
    from beast_ml.logs.retention import forget_before
    from beast_ml.logs.segments import seal_abandoned, sealed_segments
    from beast_ml.logs.store import LogStore
    from beast_ml.settings import load_settings

    settings = load_settings()
    folder = segments or settings.serving.state / "segments"
    if segments is not None and not segments.is_dir():
        raise InputError(f"no folder {segments}: name the one that beast serve writes its segments to")
    target, refused = LogStore(store or settings.logs.store), quarantine or settings.logs.quarantine
    if folder.is_dir():
        seal_abandoned(folder)
    with progress_bar() as progress:
        size = sum(path.stat().st_size for path in sealed_segments(folder))
        task = progress.add_task("reading bytes", total=size)
        summary = compact(folder, target, refused, lambda n_bytes: progress.advance(task, n_bytes))
    days = keep_days or settings.serving.keep_logs_days
    forgotten = None
    if days is not None:
        forgotten = forget_before(target, SystemClock().now().date() - timedelta(days=days), refused)
    if as_json:
        print_json(summary.to_dict() | {"forgotten": None if forgotten is None else forgotten.to_dict()})
        return
    _show_compaction(summary, folder, target)
    if forgotten is not None and forgotten.days:
        stdout.print(
            f"Deleted {forgotten.n_requests:,} requests of {forgotten.days[0]} to {forgotten.days[-1]}: "
            f"logs are kept for {days} days.",
            highlight=False,
        )


@app.command("check")
def check_logs(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(parser=place, help="Log files to check without keeping them; default: the store."),
    ] = None,
    source: SourceOption = "auto",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a data-quality report of log files or of the store, and what looks wrong, in plain words."""
    from beast_ml.logs.quality_report import quarantine_counts
    from beast_ml.logs.store import LogStore
    from beast_ml.settings import load_settings

    if paths and store:
        raise InputError("both log files and --store were given: check one or the other")
    if paths:
        with tempfile.TemporaryDirectory(prefix="beast-check-") as folder:
            kept = LogStore(Path(folder) / "store")
            summary = _ingest(paths, kept, Path(folder) / "quarantine", source)
            _report(kept, summary.quarantined, ", ".join(map(str, paths)), as_json, summary.n_duplicates)
        return
    settings = load_settings().logs
    kept = LogStore(store or settings.store)
    if not kept.days():
        raise DataError(f"{kept.path} holds no log: beast logs ingest FILE... fills it; --store names another")
    # Quarantine files say nothing of the store their rows were meant for: count them for the configured one alone.
    found = sorted(settings.quarantine.glob("*.jsonl")) if store is None or store == settings.store else []
    _report(kept, quarantine_counts(found), str(kept.path), as_json)


def _ingest(paths: Sequence[Path], store: LogStore, quarantine: Path, source: str) -> IngestSummary:
    from beast_ml.logs.ingest import ingest, log_files

    files = log_files(paths)
    known = not any(map(is_remote, files))  # of others the size is known when they are here
    size = sum(file.stat().st_size for file in files if file.exists()) if known else None
    with progress_bar() as progress:
        task = progress.add_task("reading bytes", total=size)
        return ingest(files, store, quarantine, source, lambda n_bytes: progress.advance(task, n_bytes))


def _show_ingest(summary: IngestSummary, store: LogStore) -> None:
    print_table(
        f"Into {escape(str(store.path))}",
        ["file", "read as", "rows", "new", "known already", "quarantined"],
        [
            [
                str(file.path),
                file.source,
                file.n_read,
                file.n_accepted,
                file.n_duplicates,
                sum(file.quarantined.values()),
            ]
            for file in summary.files
        ],
    )
    _show_quarantined(summary.quarantined, [file.quarantine for file in summary.files if file.quarantine is not None])
    days = f", {summary.days[0]} to {summary.days[-1]}" if summary.days else ""
    stdout.print(f"{summary.n_accepted:,} new requests on {len(summary.days)} days{days}.", highlight=False)


def _show_compaction(summary: CompactionSummary, segments: Path, store: LogStore) -> None:
    print_table(
        f"{escape(str(segments))} into {escape(str(store.path))}",
        ["what", "number"],
        [
            ("segments", summary.n_segments),
            ("still being written", summary.n_open),
            ("rows", summary.n_read),
            ("new requests", summary.n_requests),
            ("new outcomes", summary.n_outcomes),
            ("new feedback", summary.n_feedback),
            ("new weak feedback", summary.n_signals),
            ("known already", summary.n_duplicates),
            ("quarantined", summary.n_quarantined),
            ("small files merged", summary.n_merged_files),
        ],
    )
    _show_quarantined(summary.quarantined, summary.quarantine_files)


def _show_quarantined(reasons: Mapping[str, int], files: Sequence[Path]) -> None:
    if reasons:
        print_table("Quarantined", ["reason", "rows"], list(reasons.items()))
    for file in files:
        stdout.print(f"The rows, with reasons: {escape(str(file))}", highlight=False)


def _report(
    store: LogStore, quarantined: Mapping[str, int], name: str, as_json: bool, n_duplicates: int | None = None
) -> None:
    from beast_ml.domain import SystemClock
    from beast_ml.logs.quality_report import log_quality

    report = log_quality(store, SystemClock(), quarantined)
    if n_duplicates is not None:  # the ingest into the passing store has taken them out already
        report = replace(report, n_duplicates=n_duplicates)
    if as_json:
        print_json(report.to_dict())
        return
    _show_numbers(report, name)
    _show_models(report)
    unknown = {column: share for column, share in report.null_shares.items() if share > 0}
    never = ", ".join(column for column, share in unknown.items() if share == 1)
    rows = [(column, _percent(share)) for column, share in unknown.items() if share < 1]
    print_table("Unknown values", ["column", "unknown"], rows, caption=f"never given: {never}" if never else None)
    if report.quarantined:
        print_table("Quarantined", ["reason", "rows"], list(report.quarantined.items()))
    days = list(report.days.items())
    more = f"the last {_SHOWN_DAYS} of {len(days)}" if len(days) > _SHOWN_DAYS else None
    print_table("Requests a day (UTC)", ["day", "requests"], days[-_SHOWN_DAYS:], caption=more)
    for sentence in report.suspicions:
        stdout.print(f"[yellow]![/yellow] {escape(sentence)}", highlight=False)
    if not report.suspicions:
        stdout.print("Nothing looks wrong.")


def _show_numbers(report: LogQuality, name: str) -> None:
    propensity = report.propensity
    known = propensity.n_choices * (1 - (propensity.null_share or 0.0))
    ess = propensity.effective_sample_size
    rows: list[tuple[str, str]] = [
        ("requests", f"{report.n_requests:,} of {report.n_tenants:,} tenants"),
        (
            "received",
            f"{report.first_at:%Y-%m-%d %H:%M} to {report.last_at:%Y-%m-%d %H:%M} UTC" if report.days else "-",
        ),
        ("status", _listed(report.statuses)),
        ("cache", _listed(report.cache_results)),
        ("answers with a quality", _percent(report.feedback_coverage)),
        ("answers by a fallback", f"{report.n_fallback_answers:,}"),
        ("choices", f"{propensity.n_choices:,}"),
        ("choices of unknown propensity", _percent(propensity.null_share)),
        (
            "propensities",
            "-" if propensity.minimum is None else f"{propensity.minimum:.3g} to {propensity.maximum:.3g}",
        ),
        ("effective sample size", "-" if ess is None else f"{ess:,.0f} of {known:,.0f} choices"),
        ("copies of a request", f"{report.n_duplicates:,}"),
        ("rows quarantined", f"{sum(report.quarantined.values()):,}"),
    ]
    print_table(f"Log quality of {escape(name)}", ["what", "value"], rows)


def _show_models(report: LogQuality) -> None:
    # Two narrow tables instead of a wide one: the models' names must stay readable in 80 columns.
    print_table(
        "Choices",
        ["model", "offered", "chosen", "share", "failed"],
        [
            (
                model.model,
                model.n_candidate,
                model.n_chosen,
                _percent(model.choice_share),
                _percent(model.failure_rate),
            )
            for model in report.models
        ],
    )
    print_table(
        "Answers, by the model that gave them",
        ["model", "labels", "quality", "USD", "seconds"],
        [
            (
                model.model,
                model.n_labelled,
                _number(model.mean_quality),
                _number(model.mean_cost_usd),
                _number(model.mean_latency_s),
            )
            for model in report.models
        ],
    )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{value} {n:,}" for value, n in counts.items()) or "-"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
