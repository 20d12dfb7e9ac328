"""What servers count of a window of time, all together and unfiltered: what there is where the log is out of reach."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from beast_ml.serving.dashboard.metric_history import MetricHistory, Series, quantile_from_buckets
from beast_ml.serving.dashboard.traffic import QUANTILES, Chart, Filters, Line, bucket_edges, plain

__all__ = ["buckets_of", "metric_totals", "metric_traffic", "summed"]

_NOW_S: Final = 10.0
_ROWS: Final = "beast_log_rows_total"


def summed(each: Iterable[dict[Series, float]], label: str | None = None) -> dict[str, float]:
    """Return sums over series of several servers, by a label (None: one sum, under "")."""
    found: dict[str, float] = {}
    for values in each:
        for series, value in values.items():
            key = "" if label is None else dict(series.labels).get(label, "")
            found[key] = found.get(key, 0.0) + value
    return found


def buckets_of(histories: Sequence[MetricHistory], name: str, since_s: float, until_s: float) -> dict[float, float]:
    """Return the buckets of a histogram, all servers together: upper bound -> how many at or below it."""
    found = summed((each.increase(f"{name}_bucket", since_s, until_s) for each in histories), "le")
    return {float(bound): value for bound, value in found.items()}


def metric_traffic(histories: Sequence[MetricHistory], filters: Filters, now_s: float) -> dict[str, Any]:
    """Return what the page shows of metrics, as plain values; where `traffic` has more, that is None or empty."""
    starts, width = bucket_edges(filters.seconds, now_s)
    edges = [*starts.tolist(), now_s]

    def lines(name: str, label: str, per_s: bool = False, **labels: str) -> list[Line]:
        by_bucket = [
            summed((each.increase(name, low, high, **labels) for each in histories), label)
            for low, high in itertools.pairwise(edges)
        ]
        names = sorted({key for each in by_bucket for key in each})
        spans = np.maximum(np.diff(edges), 1.0) if per_s else np.ones(len(starts))
        found = [Line(key, plain(np.array([each.get(key, 0.0) for each in by_bucket]) / spans)) for key in names]
        return [line for line in found if any(line.values)]

    quantiles = [
        [quantile_from_buckets(buckets_of(histories, "beast_request_seconds", low, high), q) for q in QUANTILES]
        for low, high in itertools.pairwise(edges)
    ]
    charts = {
        "requests": Chart(lines(_ROWS, "table", per_s=True, table="requests"), "requests/s"),
        "latency": Chart(
            [Line(f"p{100 * q:g}", [each[i] for each in quantiles]) for i, q in enumerate(QUANTILES)], "s over HTTP"
        ),
        "errors": Chart(lines("beast_errors_total", "error_kind"), "requests"),
        "refused": Chart(lines("beast_refusals_total", "error_kind"), "requests"),
        "rescued": Chart(lines("beast_rescued_total", "error_kind"), "requests"),
        "cost": Chart(lines("beast_spent_usd_total", "model"), "USD"),
        "cache": Chart(
            [*lines("beast_cache_hits_total", "tier"), *lines("beast_cache_results_total", "result", result="miss")],
            "requests",
        ),
        "selection": Chart(lines("beast_decisions_total", "model"), "decisions"),
    }
    return {
        "source": "metrics",
        "at": now_s,
        "starts": starts.tolist(),
        "width": width,
        "savings": None,
        "charts": {name: msgspec.to_builtins(chart) for name, chart in charts.items()},
        "models": [],
        "variants": [],
        "choices": {"tenant": [], "model": [], "kind": []},
        "is_full": False,
        "n_seen": 0,
    }


def metric_totals(histories: Sequence[MetricHistory], filters: Filters, now_s: float) -> dict[str, Any]:
    """Return the figures of the whole window, as plain values; see `beast_ml.serving.dashboard.traffic.totals`."""
    since_s = float(bucket_edges(filters.seconds, now_s)[0][0])

    def total(name: str, since_s: float = since_s, **labels: str) -> float:
        return sum(summed(each.increase(name, since_s, None, **labels) for each in histories).values(), 0.0)

    requests = total(_ROWS, table="requests")
    failed, refused = total("beast_errors_total"), total("beast_refusals_total")
    ended = max(requests - refused, 0.0)  # what was given up, or not told, is not told apart here
    hits, misses = total("beast_cache_hits_total"), total("beast_cache_results_total", result="miss")
    latency, deciding = (
        buckets_of(histories, f"beast_{name}_seconds", since_s, now_s) for name in ("request", "decision")
    )
    decided = [quantile_from_buckets(deciding, q) for q in QUANTILES]
    spent = total("beast_spent_usd_total")
    return {
        "requests": int(requests),
        "per_s": total(_ROWS, now_s - _NOW_S, table="requests") / _NOW_S,
        "latency_s": [quantile_from_buckets(latency, q) for q in QUANTILES],
        "n_latency": int(max(latency.values(), default=0.0)),
        "decision_us": [None if each is None else 1e6 * each for each in decided],
        "failed": int(failed),
        "ended": int(ended),
        "error_rate": failed / ended if ended else None,
        "refused": int(refused),
        "refused_rate": refused / requests if requests else None,
        "unreported": 0,
        "cost_usd": spent,
        "cost_actual_usd": spent,
        "n_actual": None,
        "n_predicted": 0,
        "cost_per_request_usd": None,
        "hits": int(hits),
        "lookups": int(hits + misses),
        "hit_rate": hits / (hits + misses) if hits + misses else None,
        "rescued": int(total("beast_rescued_total")),
        "labelled": 0,
        "quality": None,
        "predicted_quality": None,
    }
