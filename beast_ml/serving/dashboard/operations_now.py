"""How servers are doing: who is up, which endpoints are out, what budgets have left, how far cache hits are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from beast_ml.evaluation.proportion import wilson
from beast_ml.serving.dashboard.budgets_now import budgets_now
from beast_ml.serving.dashboard.metric_history import MetricHistory, Series, quantile_from_buckets
from beast_ml.serving.dashboard.metric_traffic import buckets_of, summed
from beast_ml.serving.dashboard.server_watch import ServerWatch
from beast_ml.serving.dashboard.traffic import QUANTILES

__all__ = ["operations_now"]

_RATE_S: Final = 60.0
_CALLS_S: Final = 600.0
_BREAKER: Final = {0.0: "closed", 1.0: "half-open", 2.0: "open"}


def operations_now(watches: Sequence[ServerWatch], now_s: float) -> dict[str, Any]:
    """Return what servers say of themselves, as plain values; of those that are away what they said last."""
    histories = [each.history for each in watches if each.history.last_s is not None]
    return {
        "servers": [_server(each, now_s) for each in watches],
        "endpoints": _endpoints(histories, now_s),
        "budgets": budgets_now(watches, now_s),
        "cache": _cache(histories),
    }


def _server(watch: ServerWatch, now_s: float) -> dict[str, Any]:
    history = watch.history
    last_s = history.last_s
    since_s = (last_s or now_s) - _RATE_S  # of one that is away: as it was
    known_s = min(_RATE_S, max(now_s - history.first_s, 1.0)) if history.first_s is not None else _RATE_S
    latency = buckets_of([history], "beast_request_seconds", since_s, now_s)
    workers = history.latest("beast_bundle_info")
    lag = history.latest("beast_log_lag_seconds").values()
    return {
        "url": watch.url,
        "state": watch.state,
        "since": watch.since_s,
        "last": last_s,
        "problem": watch.problem,
        "per_s": sum(history.increase("beast_log_rows_total", since_s, table="requests").values()) / known_s,
        "failed_per_s": sum(history.increase("beast_errors_total", since_s).values()) / known_s,
        "refused_per_s": sum(history.increase("beast_refusals_total", since_s).values()) / known_s,
        "latency_s": [quantile_from_buckets(latency, q) for q in QUANTILES],
        "workers": int(sum(workers.values())),
        "bundles": sorted({_label(each, "version") or _label(each, "digest") for each, n in workers.items() if n}),
        "log_lag_s": max(lag, default=None),
        "log_failures": sum(history.latest("beast_log_failures_total").values()),
        "away": sorted(
            _label(each, "dependency") for each, up in history.latest("beast_dependency_up").items() if not up
        ),
    }


def _endpoints(histories: Sequence[MetricHistory], now_s: float) -> list[dict[str, Any]]:
    """Return the endpoints; of several servers the worst breaker, and calls of all."""
    states: dict[str, float] = {}
    for history in histories:
        for series, state in history.latest("beast_endpoint_state").items():
            name = _label(series, "endpoint")
            states[name] = max(states.get(name, 0.0), state)
    found = []
    for name, state in sorted(states.items(), key=lambda item: (-item[1], item[0])):
        calls = summed(
            (each.increase("beast_provider_calls_total", now_s - _CALLS_S, endpoint=name) for each in histories),
            "result",
        )
        n = sum(calls.values())
        bounds = summed(
            (
                each.increase("beast_provider_call_seconds_bucket", now_s - _CALLS_S, endpoint=name)
                for each in histories
            ),
            "le",
        )
        seconds = {float(bound): value for bound, value in bounds.items()}
        failures = {kind: int(value) for kind, value in calls.items() if kind != "ok" and value}
        found.append(
            {
                "endpoint": name,
                "breaker": _BREAKER.get(state, "unknown"),
                "calls": int(n),
                "failure_rate": (n - calls.get("ok", 0.0)) / n if n else None,
                "failures": dict(sorted(failures.items(), key=lambda item: -item[1])),
                "latency_s": [quantile_from_buckets(seconds, q) for q in QUANTILES],
            }
        )
    return found


def _cache(histories: Sequence[MetricHistory]) -> dict[str, Any]:
    """Return how often verified hits were wrong, since the servers' start."""
    kinds = {}
    verdicts: dict[str, dict[str, float]] = {}
    for history in histories:
        for series, value in history.latest("beast_cache_audits_total").items():
            labels = dict(series.labels)
            of_kind = verdicts.setdefault(labels["kind"], {})
            of_kind[labels["verdict"]] = of_kind.get(labels["verdict"], 0.0) + value
    for kind, counts in sorted(verdicts.items()):
        n = counts.get("right", 0.0) + counts.get("wrong", 0.0)
        share = counts.get("wrong", 0.0) / n if n else None
        kinds[kind] = {
            "verified": int(n),
            "wrong": int(counts.get("wrong", 0.0)),
            "false_hit_rate": share,
            "interval": None if share is None else list(wilson(share, n)),
        }
    tiers = summed((each.latest("beast_cache_hits_total") for each in histories), "tier")
    return {
        "audits": kinds,
        "hits_by_tier": {tier: int(n) for tier, n in sorted(tiers.items(), key=lambda item: -item[1])},
        "saved_usd": sum(summed(each.latest("beast_cache_saved_usd_total") for each in histories).values()),
    }


def _label(series: Series, name: str) -> str:
    return dict(series.labels)[name]
