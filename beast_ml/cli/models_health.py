"""`beast models health`: whether models answer, now and over a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from beast_ml.cli.output import JsonOption, print_json, print_table, say, stdout
from beast_ml.cli.past_time import past_time
from beast_ml.cli.server_calls import (
    NEEDS_ADMIN_KEY,
    AdminKeyOption,
    UrlOption,
    call_server,
    own_admin_key,
    server_text,
)
from beast_ml.errors import DataError, UnavailableError

if TYPE_CHECKING:
    from beast_ml.operations.uptime import UptimeReport

__all__ = ["models_health"]

_STATES: Final = ("closed", "half-open", "open")
_SHOWN: Final = 20


def models_health(
    since: Annotated[
        str | None,
        typer.Option(help="A time (2026-11-25T08:00Z), or how long ago (90m, 24h, 7d); default: the log's last day."),
    ] = None,
    store: Annotated[Path | None, typer.Option(help="The log store; default: logs.store in mlflow.yaml.")] = None,
    url: UrlOption = None,
    key: AdminKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which models may be called now, by a running server, and how they answered over a time, by the log.

    Either may be away: what the other says is shown.
    """
    from beast_ml.logs.store import LogStore
    from beast_ml.operations.uptime import uptime_report
    from beast_ml.settings import load_settings

    start = None if since is None else past_time("--since", since)
    now, past = None, None
    try:
        now = _now(url, key or own_admin_key())
    except UnavailableError as error:
        if url is not None:
            raise
        say(f"warning: {error}")
    try:
        past = uptime_report(LogStore(store or load_settings().logs.store), start)
    except DataError as error:
        if now is None:
            raise
        say(f"warning: {error}")
    if as_json:
        print_json({"now": now, "log": None if past is None else past.to_dict()})
        return
    if now is not None:
        _show_now(now)
    if past is not None:
        _show_past(past)


def _now(url: str | None, key: str | None) -> list[dict[str, Any]]:
    """Return what a server says of every endpoint, and of models that have none."""
    models = call_server("GET", "/v1/models", url=url, key=key, needs=NEEDS_ADMIN_KEY)["data"]
    from prometheus_client.parser import text_string_to_metric_families

    families = text_string_to_metric_families(server_text("/metrics", url=url, key=key, needs=NEEDS_ADMIN_KEY))
    samples = [sample for family in families for sample in family.samples]
    state = {each.labels["endpoint"]: int(each.value) for each in samples if each.name == "beast_endpoint_state"}
    calls: dict[str, dict[str, int]] = {}
    for each in samples:
        if each.name == "beast_provider_calls_total":
            calls.setdefault(each.labels["endpoint"], {})[each.labels["result"]] = int(each.value)
    rows = []
    for model in models:
        for endpoint in model.get("endpoints") or [""]:
            results = calls.get(endpoint, {})
            rows.append(
                {
                    "model": model["id"],
                    "endpoint": endpoint,
                    "available": model["available"],
                    "breaker": _STATES[state[endpoint]] if endpoint in state else None,
                    "calls": sum(results.values()),
                    "errors": {kind: n for kind, n in results.items() if kind != "ok"},
                }
            )
    return rows


def _show_now(rows: list[dict[str, Any]]) -> None:
    print_table(
        "Now, by the server; calls since it started",
        ("model", "endpoint", "may be called", "breaker", "calls", "errors"),
        [
            (
                row["model"],
                row["endpoint"] or "-",
                "yes" if row["available"] else "NO",
                row["breaker"] or "-",
                row["calls"],
                _listed(row["errors"]),
            )
            for row in rows
        ],
    )


def _show_past(report: UptimeReport) -> None:
    print_table(
        f"By the log, {report.since:%Y-%m-%d %H:%M} to {report.until:%Y-%m-%d %H:%M} UTC",
        ("model", "endpoint", "calls", "answered, %", "95%", "uptime, %", "incidents", "errors"),
        [
            (
                row.model,
                row.endpoint or "(all)",
                f"{row.n_calls:,}",
                f"{100 * row.availability:.2f}",
                f"{100 * row.low:.2f} to {100 * row.high:.2f}",
                "-" if row.uptime is None else f"{100 * row.uptime:.2f}",
                len(row.incidents),
                _listed(row.errors),
            )
            for row in report.rows
        ],
    )
    with_endpoints = {row.model for row in report.rows if row.endpoint}
    named = [row for row in report.rows if row.endpoint or row.model not in with_endpoints]
    incidents = sorted(((each, row) for row in named for each in row.incidents), key=lambda pair: pair[0].started_at)
    if incidents:
        print_table(
            f"Incidents: at least half of the calls failed; exact to {max(report.bin_s / 60, 0.1):.2g} minutes",
            ("from", "to", "model", "endpoint", "failed", "error"),
            [
                (
                    f"{each.started_at:%m-%d %H:%M}",
                    f"{each.ended_at:%m-%d %H:%M}" if each.is_over else "the end",
                    row.model,
                    row.endpoint or "-",
                    f"{each.n_failed} of {each.n_calls}",
                    each.error_kind,
                )
                for each, row in incidents[-_SHOWN:]
            ],
            caption=f"the last {_SHOWN} of {len(incidents)}, see --json" if len(incidents) > _SHOWN else None,
        )
    else:
        stdout.print(
            "no incident: at no time did half of the calls of a model or an endpoint fail, two at least",
            highlight=False,
        )
    untold = [row.endpoint or row.model for row in named if row.uptime is None]
    if untold:
        stdout.print(f"too few calls to tell of: {', '.join(untold)}", highlight=False, markup=False)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{kind} {n}" for kind, n in counts.items()) or "-"
