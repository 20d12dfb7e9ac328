"""What the log says of a window of time: figures, series by bucket, and models side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.domain import Price
from beast_ml.logs.endings import ENDED, FAILED, REFUSED
from beast_ml.serving.dashboard.request_table import RequestTable, Rows
from beast_ml.serving.dashboard.rescues import KIND_NOT_TOLD, answered_by_another, rescued
from beast_ml.serving.dashboard.savings_now import costs, savings_now

__all__ = ["QUANTILES", "RANGES", "Chart", "Filters", "Line", "bucket_edges", "plain", "totals", "traffic"]

Floats = NDArray[np.float64]

RANGES: Final = {"5m": 300.0, "15m": 900.0, "1h": 3600.0, "6h": 21_600.0, "24h": 86_400.0}
"""Lengths of the window in seconds, by name."""

QUANTILES: Final = (0.5, 0.95, 0.99)
"""Of the latency, as they are drawn."""

_BUCKETS: Final = 60
_MOST_LINES: Final = 6
_MOST_MODELS: Final = 6
_NOW_S: Final = 10.0
_HITS: Final = ("exact", "semantic")


class Filters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is looked at; "" means all.

    Parameters
    ----------
    range
        One of `RANGES`.
    tenant, model, kind
        The model is the one that answered, or, where nobody has, the one that was chosen.
    source
        ``log`` (exact, filtered) or ``metrics`` (all servers, unfiltered).
    """

    range: str = "15m"
    tenant: str = ""
    model: str = ""
    kind: str = ""
    source: str = "log"

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return RANGES[self.range]


class Line(msgspec.Struct, frozen=True):
    """One line of a chart: its ``name``, and its ``values``, one a bucket, None where there is none."""

    name: str
    values: list[float | None]


class Chart(msgspec.Struct, frozen=True):
    """``lines`` over the same buckets, and their ``unit``."""

    lines: list[Line]
    unit: str


def bucket_edges(seconds: float, now_s: float) -> tuple[Floats, float]:
    """Return the starts of the buckets of a window that ends now, and their width.

    Starts are multiples of the width, so that what is past keeps its bucket.

    Examples
    --------
    >>> starts, width = bucket_edges(300.0, 1003.0)
    >>> width, starts.tolist()[-2:], len(starts)
    (5.0, [995.0, 1000.0], 60)
    """
    width = seconds / _BUCKETS
    last = np.floor(now_s / width) * width
    return last - width * np.arange(_BUCKETS - 1, -1, -1), width


def of_filters(rows: Rows, filters: Filters) -> Rows:
    """Return the rows that a filter lets through."""
    if not (filters.tenant or filters.kind or filters.model):
        return rows
    mask = np.ones(len(rows), dtype=bool)
    if filters.tenant:
        mask &= rows.where("tenant_id", filters.tenant)
    if filters.kind:
        mask &= rows.where("request_kind", filters.kind)
    if filters.model:
        mask &= answered_by(rows, filters.model)
    return rows.having(mask)


def answered_by(rows: Rows, model: str) -> NDArray[np.bool_]:
    """Return (n,) whether a model answered, or was chosen and nobody has answered."""
    return rows.where("served_model", model) | (rows.where("served_model", "") & rows.where("chosen_model", model))


def traffic(table: RequestTable, filters: Filters, prices: Mapping[str, Price], now_s: float) -> dict[str, Any]:
    """Return what the page shows of the log, as plain values."""
    starts, width = bucket_edges(filters.seconds, now_s)
    everything = table.rows(float(starts[0]))
    rows = of_filters(everything, filters)
    bucket = np.clip(((rows["received_s"] - starts[0]) / width).astype(np.intp), 0, len(starts) - 1)
    seconds = np.full(len(starts), width)
    seconds[-1] = max(now_s - starts[-1], 1.0)
    return {
        "source": "log",
        "at": now_s,
        "starts": starts.tolist(),
        "width": width,
        "savings": msgspec.to_builtins(savings_now(rows, prices)),
        "charts": {name: msgspec.to_builtins(chart) for name, chart in _charts(rows, bucket, seconds).items()},
        "models": _models(rows, bucket, len(starts)),
        "variants": _variants(rows),
        "choices": {
            "tenant": sorted(everything.counts("tenant_id")),
            "model": sorted(everything.counts("served_model") | everything.counts("chosen_model")),
            "kind": sorted(everything.counts("request_kind")),
        },
        "is_full": table.is_full,
        "n_seen": table.n_seen,
    }


def totals(table: RequestTable, filters: Filters, now_s: float) -> dict[str, Any]:
    """Return the figures of the whole window, as plain values; they take a tenth of what `traffic` takes."""
    starts, _ = bucket_edges(filters.seconds, now_s)
    rows = of_filters(table.rows(float(starts[0])), filters)
    n = len(rows)
    failed, ended = int(rows.where("status", *FAILED).sum()), int(rows.where("status", *ENDED).sum())
    refused = int(rows.where("status", *REFUSED).sum())
    paid, predicted = costs(rows)
    known = ~np.isnan(paid)
    hits = rows.where("cache_result", *_HITS)
    looked_up = hits | rows.where("cache_result", "miss")
    return {
        "requests": n,
        "per_s": float((rows["received_s"] > now_s - _NOW_S).sum() / _NOW_S),
        "latency_s": _quantiles(rows["latency_s"]),
        "n_latency": int((~np.isnan(rows["latency_s"])).sum()),
        "decision_us": _quantiles(rows["decision_us"]),
        "failed": failed,
        "ended": ended,
        "error_rate": failed / ended if ended else None,
        "refused": refused,
        "refused_rate": refused / n if n else None,
        "unreported": int(rows.where("error_kind", "unreported").sum()),
        "cost_usd": float(paid[known].sum()),
        "cost_actual_usd": float(paid[known & ~predicted].sum()),
        "n_actual": int((known & ~predicted).sum()),
        "n_predicted": int(predicted.sum()),
        "cost_per_request_usd": float(paid[known].mean()) if known.any() else None,
        "hits": int(hits.sum()),
        "lookups": int(looked_up.sum()),
        "hit_rate": float(hits.sum() / looked_up.sum()) if looked_up.any() else None,
        "rescued": int(rescued(rows).sum()),
        "labelled": int((~np.isnan(rows["quality"])).sum()),
        "quality": _mean(rows["quality"]),
        "predicted_quality": _mean(rows["predicted_quality"]),
    }


def _charts(rows: Rows, bucket: NDArray[np.intp], seconds: Floats) -> dict[str, Chart]:
    n = len(seconds)
    failed, refused = rows.where("status", *FAILED), rows.where("status", *REFUSED)
    hit = rows.where("cache_result", *_HITS)
    served = ~(failed | refused | hit)
    shown = "latency_s" if (~np.isnan(rows["latency_s"])).any() else "decision_us"
    scale = 1.0 if shown == "latency_s" else 1e-6
    paid, predicted = costs(rows)
    by_tier, tiers = _pairs(rows, "cache_result", "cache_tier")
    tier_names = [f"{result}, {tier or 'tier unknown'}" for result, tier in tiers]
    miss = rows.where("cache_result", "miss")
    return {
        "requests": Chart(
            [
                Line("answered or routed", _per(bucket[served], n, seconds)),
                Line("from the cache", _per(bucket[hit & ~failed & ~refused], n, seconds)),
                Line("failed", _per(bucket[failed], n, seconds)),
                Line("refused", _per(bucket[refused], n, seconds)),
            ],
            "requests/s",
        ),
        "latency": Chart(
            [
                Line(f"p{100 * q:g}", values)
                for q, values in zip(QUANTILES, _quantiles_by(scale * rows[shown], bucket, n), strict=True)
            ],
            "s" if shown == "latency_s" else "s to decide",
        ),
        "errors": Chart(_by_word(rows, "error_kind", failed, bucket, n), "requests"),
        "refused": Chart(_by_word(rows, "error_kind", refused, bucket, n), "requests"),
        "rescued": Chart(_rescued(rows, bucket, n), "requests"),
        "cost": Chart(
            [
                Line("paid", _sums(paid, ~predicted, bucket, n)),
                Line("predicted", _sums(paid, predicted, bucket, n)),
            ],
            "USD",
        ),
        "cache": Chart(
            [*_by_number(by_tier, tier_names, hit, bucket, n), Line("miss", _counts(bucket[miss], n))], "requests"
        ),
        "selection": Chart(_by_word(rows, "chosen_model", np.ones(len(rows), dtype=bool), bucket, n), "decisions"),
    }


def _rescued(rows: Rows, bucket: NDArray[np.intp], n: int) -> list[Line]:
    saved = rescued(rows)
    names = [word or KIND_NOT_TOLD for word in rows.words["failed_first"]]
    return _by_number(rows.codes("failed_first"), names, saved, bucket, n)


def _models(rows: Rows, bucket: NDArray[np.intp], n: int) -> list[dict[str, Any]]:
    """Return the figures of the models most used, for a comparison side by side."""
    chosen = rows.counts("chosen_model")
    names = sorted(chosen | rows.counts("served_model"), key=lambda name: (-chosen.get(name, 0), name))
    decided = sum(chosen.values())
    paid, _ = costs(rows)
    found = []
    for name in names[:_MOST_MODELS]:
        own, served = rows.where("chosen_model", name), rows.where("served_model", name)
        failed = rows.where("status", *FAILED) | answered_by_another(rows)
        ended = own & rows.where("status", *ENDED)
        mine = served & (rows["latency_s"] >= 0)
        found.append(
            {
                "model": name,
                "chosen": int(own.sum()),
                "share": float(own.sum() / decided) if decided else None,
                "served": int(served.sum()),
                "failure_rate": float((failed & ended).sum() / ended.sum()) if ended.any() else None,
                "latency_s": _quantiles(rows["latency_s"][served]),
                "cost_usd": _mean(paid[served | (own & rows.where("served_model", ""))]),
                "quality": _mean(rows["quality"][served]),
                "labelled": int((served & ~np.isnan(rows["quality"])).sum()),
                "predicted_quality": _mean(rows["predicted_quality"][own]),
                "requests": _counts(bucket[own], n),
                "p95": _quantiles_by(rows["latency_s"][mine], bucket[mine], n)[1],
            }
        )
    return found


def _variants(rows: Rows) -> list[dict[str, Any]]:
    found = []
    paid, _ = costs(rows)
    drawn = ~rows.where("experiment_id", "")
    for experiment, variant in sorted(_pairs(rows.having(drawn), "experiment_id", "variant")[1]):
        own = rows.where("experiment_id", experiment) & rows.where("variant", variant)
        ended = own & rows.where("status", *ENDED)
        found.append(
            {
                "experiment": experiment,
                "variant": variant,
                "requests": int(own.sum()),
                "quality": _mean(rows["quality"][own]),
                "labelled": int((own & ~np.isnan(rows["quality"])).sum()),
                "cost_usd": _mean(paid[own]),
                "latency_s": _quantiles(rows["latency_s"][own]),
                "error_rate": float((rows.where("status", *FAILED) & ended).sum() / ended.sum())
                if ended.any()
                else None,
            }
        )
    return found


def _pairs(rows: Rows, first: str, second: str) -> tuple[NDArray[np.intp], list[tuple[str, str]]]:
    """Return (n,) numbers of the pairs of words in two columns, and the pairs."""
    one, two = rows.codes(first).astype(np.intp), rows.codes(second)
    width = len(rows.words[second])
    combined = one * width + two
    found, numbers = np.unique(combined, return_inverse=True)
    return numbers, [(rows.words[first][each // width], rows.words[second][each % width]) for each in found.tolist()]


def _by_word(rows: Rows, name: str, mask: NDArray[np.bool_], bucket: NDArray[np.intp], n: int) -> list[Line]:
    return _by_number(rows.codes(name), rows.words[name], mask & (rows.codes(name) != 0), bucket, n)


def _by_number(
    numbers: NDArray[np.integer[Any]], names: Sequence[str], mask: NDArray[np.bool_], bucket: NDArray[np.intp], n: int
) -> list[Line]:
    """Return a line of counts for each of the most frequent names, and one for all others."""
    counts = np.bincount(numbers[mask], minlength=len(names))
    order = [i for i in np.argsort(-counts, kind="stable").tolist() if counts[i]]
    shown = order if len(order) <= _MOST_LINES else order[: _MOST_LINES - 1]
    lines = [Line(names[i], _counts(bucket[mask & (numbers == i)], n)) for i in shown]
    if len(shown) < len(order):
        lines.append(Line("others", _counts(bucket[mask & ~np.isin(numbers, shown)], n)))
    return lines


def _counts(bucket: NDArray[np.intp], n: int) -> list[float | None]:
    return plain(np.bincount(bucket, minlength=n))


def _per(bucket: NDArray[np.intp], n: int, seconds: Floats) -> list[float | None]:
    return plain(np.bincount(bucket, minlength=n) / seconds)


def _sums(values: Floats, mask: NDArray[np.bool_], bucket: NDArray[np.intp], n: int) -> list[float | None]:
    mask = mask & ~np.isnan(values)
    return plain(np.bincount(bucket[mask], weights=values[mask], minlength=n))


def _quantiles(values: Floats) -> list[float | None]:
    known = values[~np.isnan(values)]
    return [None] * len(QUANTILES) if not len(known) else plain(np.quantile(known, QUANTILES))


def _quantiles_by(values: Floats, bucket: NDArray[np.intp], n: int) -> list[list[float | None]]:
    """Return, for each quantile, its value in each bucket."""
    known = ~np.isnan(values)
    values, bucket = values[known], bucket[known]
    order = np.argsort(bucket, kind="stable")
    parts = np.split(values[order], np.searchsorted(bucket[order], np.arange(1, n)))
    by_bucket = [_quantiles(part) for part in parts]
    return [[each[i] for each in by_bucket] for i in range(len(QUANTILES))]


def _mean(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def plain(values: Floats | NDArray[np.intp] | Sequence[float]) -> list[float | None]:
    """Return numbers for JSON: what is not finite is None."""
    return [float(value) if np.isfinite(value) else None for value in values]
