"""Requests as MLflow traces: a decision and the calls that it led to, written afterwards from the log."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.connection import connect, experiment_id, translated
from beast_ml.registry.quiet_mlflow import mlflow

__all__ = ["is_sampled", "record_traces"]

_KEYS: Final = mlflow.tracing.constant.SpanAttributeKey
_NS: Final = 1_000_000_000
_MS: Final = 1_000_000
_FINE: Final = ("ok", "cancelled")
_TAGS: Final = ("tenant_id", "policy_version", "request_kind", "status", "cache_result", "experiment_id", "variant")
_DECIDED: Final = ("propensity", "predicted_quality", "predicted_cost_usd", "predicted_latency_s", "decision_us")
_BECAME: Final = ("served_model", "error_kind", "output_tokens", "cost_usd", "quality", "quality_source")


def is_sampled(request_id: str, share: float) -> bool:
    """Return whether a request is among the share that is traced: the same requests each time, more as it grows.

    Examples
    --------
    >>> is_sampled("req_1", 1.0), is_sampled("req_1", 0.0)
    (True, False)
    """
    drawn = int.from_bytes(blake2b(request_id.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
    return drawn < share * 2.0**64


def record_traces(
    config: TrackingConfig, rows: Iterable[Mapping[str, Any]], progress: Callable[[], None] = lambda: None
) -> int:
    """Write a trace for each request that has none yet, and return how many were written.

    A request is the root, its decision and each call of a model lie below it. When a call began is not in the log:
    calls are drawn one after another, the last to end with the request.

    Parameters
    ----------
    config
        The store.
    rows
        Of the log; see `beast_ml.logs.schema`.
    progress
        Called after each.

    Raises
    ------
    RegistryUnavailableError
        If the store does not answer.
    """
    experiment, n_written = experiment_id(connect(config), config), 0
    # The client of runs would write into the process-wide store, and at some later time.
    client = mlflow.tracing.client.TracingClient(config.uri)
    for row in rows:
        with translated(config):
            trace = _trace_id(str(row["request_id"]))
            if not _is_there(client, trace):
                spans = _spans(trace, row)
                client.start_trace(_info(trace, experiment, row, spans[0]))
                client.log_spans(experiment, spans)
                n_written += 1
        progress()
    return n_written


def _trace_id(request_id: str) -> str:
    return "tr-" + blake2b(request_id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _is_there(client: Any, trace: str) -> bool:
    try:
        client.get_trace_info(trace)
    except mlflow.exceptions.MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    return True


def _info(trace: str, experiment: str, row: Mapping[str, Any], root: mlflow.entities.Span) -> mlflow.entities.TraceInfo:
    return mlflow.entities.TraceInfo(
        trace,
        mlflow.entities.TraceLocation.from_experiment_id(experiment),
        root.start_time_ns // _MS,
        mlflow.entities.TraceState.OK if row["status"] in _FINE else mlflow.entities.TraceState.ERROR,
        request_preview=row.get("prompt"),
        response_preview=row.get("served_model"),
        client_request_id=str(row["request_id"]),
        execution_duration=(root.end_time_ns - root.start_time_ns) // _MS,
        tags={name: str(row[name]) for name in _TAGS if row.get(name) is not None},
    )


def _spans(trace: str, row: Mapping[str, Any]) -> list[mlflow.entities.Span]:
    """Return the root, then what lies below it."""
    began, attempts = _ns(row["received_at"]), row.get("attempts") or []
    decided = began + round(1000 * (row.get("decision_us") or 0.0))
    at = max(decided, began + _length(row.get("latency_s")) - sum(_length(each["latency_s"]) for each in attempts))
    ended = max(began + _length(row.get("latency_s")), at + sum(_length(each["latency_s"]) for each in attempts))
    became = {name: row[name] for name in _BECAME if row.get(name) is not None}
    prompt = {"prompt": row.get("prompt")}
    spans = [_span(trace, 0, "request", "CHAIN", (began, ended), prompt, became, fine=row["status"] in _FINE)]
    if row.get("chosen_model") is not None:
        told = {name: row[name] for name in ("chosen_model", *_DECIDED) if row.get(name) is not None}
        asked = {"candidates": row.get("candidates")}
        spans.append(_span(trace, 1, "decision", "TOOL", (began, decided), asked, told, fine=True))
    for each in attempts:
        until = at + _length(each["latency_s"])
        told = {"status": each["status"], "error_kind": each["error_kind"]}
        fine = each["status"] == "ok"
        spans.append(_span(trace, len(spans), each["model"], "LLM", (at, until), prompt, told, fine=fine))
        at = until
    return spans


def _span(
    trace: str,
    number: int,
    name: str,
    kind: str,
    times: tuple[int, int],
    given: Mapping[str, Any],
    told: Mapping[str, Any],
    *,
    fine: bool,
) -> mlflow.entities.Span:
    values = {
        _KEYS.REQUEST_ID: trace,
        _KEYS.SPAN_TYPE: kind,
        _KEYS.INPUTS: given,
        _KEYS.OUTPUTS: told,
    }
    return mlflow.entities.Span.from_dict(
        {
            "trace_id": trace,
            "span_id": f"{number + 1:016x}",
            "parent_span_id": f"{1:016x}" if number else None,
            "name": name,
            "start_time_unix_nano": times[0],
            "end_time_unix_nano": times[1],
            "status": {"code": "OK" if fine else "ERROR"},
            "attributes": {key: json.dumps(value) for key, value in values.items()},
        }
    )


def _ns(at: datetime) -> int:
    return round(at.timestamp() * 1e6) * 1000


def _length(seconds: float | None) -> int:
    return round((seconds or 0.0) * _NS)
