"""What was spent: one pass over the log, exact sums, and how far the predictions of costs were off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import t as student

from beast_ml.domain import Price
from beast_ml.domain.money import usd
from beast_ml.logs.sql_values import text_sql
from beast_ml.logs.store import LogStore
from beast_ml.operations.costs.amounts import nano_sql, price_sql
from beast_ml.operations.costs.question import DIMENSIONS, FROM_CACHE, CostQuestion

__all__ = ["Spending", "read_spending"]

Floats = NDArray[np.float64]

_NONE_ANSWERED: Final = "NOT coalesce(bool_or(status = 'ok' AND NOT cached), false)"
_SUMS: Final = {
    "requests": "count(*)",
    "answered": "count(*) FILTER (WHERE status = 'ok')",
    "from_cache": "count(*) FILTER (WHERE cached)",
    "unpriced": "count(*) FILTER (WHERE status = 'ok' AND NOT cached AND nano IS NULL)",
    "cost_known": f"count(nano) FILTER (NOT cached) > 0 OR {_NONE_ANSWERED}",
    "cost_nano": "CAST(coalesce(sum(nano), 0) AS BIGINT)",
    "input_tokens": "CAST(coalesce(sum(input_tokens), 0) AS BIGINT)",
    "output_tokens": "CAST(coalesce(sum(output_tokens), 0) AS BIGINT)",
    "predicted_requests": "count(*) FILTER (WHERE paired)",
    "predicted_usd": "coalesce(sum(predicted_cost_usd) FILTER (WHERE paired), 0.0)",
    "actual_usd": "coalesce(sum(cost_usd) FILTER (WHERE paired), 0.0)",
    "_aa": "coalesce(sum(cost_usd * cost_usd) FILTER (WHERE paired), 0.0)",
    "_ap": "coalesce(sum(cost_usd * predicted_cost_usd) FILTER (WHERE paired), 0.0)",
    "_pp": "coalesce(sum(predicted_cost_usd * predicted_cost_usd) FILTER (WHERE paired), 0.0)",
    "_off": "coalesce(sum(abs(cost_usd - predicted_cost_usd)) FILTER (WHERE paired), 0.0)",
}
"""What is summed over a group; those that begin with an underscore make the intervals, and are not shown."""

_REPRICED: Final = {
    "repriced_nano": "CAST(coalesce(sum(new_nano), 0) AS BIGINT)",
    "repriced_known": f"count(new_nano) FILTER (NOT cached) > 0 OR {_NONE_ANSWERED}",
    "not_repriced": "count(*) FILTER (WHERE asked AND new_usd IS NULL)",
}


@dataclass(frozen=True)
class Spending:
    """What was spent.

    Parameters
    ----------
    question
        What was asked.
    groups
        One row a group, what cost most first: the dimensions, then ``requests, answered, from_cache, unpriced``
        (answered by a model, cost not known), ``cost_known`` (False where models answered and no cost at all is known:
        the amounts are then 0, and ``usd_per_request`` None), ``cost_nano`` (exact, in nano-dollars), ``cost_usd``,
        ``usd_per_request``, tokens; ``predicted_requests`` (cost known before and after), ``predicted_usd`` and
        ``actual_usd`` of those, ``actual_over_predicted`` with its 95% interval ``_low`` and ``_high``, and
        ``error_share``, the mean absolute error over the mean cost. With prices also ``repriced_nano``,
        ``repriced_usd``, ``repriced_known`` (as ``cost_known``) and ``not_repriced``, requests of these models of which
        the log does not know the tokens: they count as logged.
    total
        The same over all requests, those of groups beyond the limit too.
    n_groups
        All groups, those beyond the limit too.
    """

    question: CostQuestion
    groups: pa.Table
    total: Mapping[str, Any]
    n_groups: int

    def sentence(self) -> str:
        """Return the total in words."""
        total = self.total
        if not total["requests"]:
            tenant = self.question.tenant
            return f"No request{'' if tenant is None else f' of tenant {tenant!r}'} was received in that time."
        if not total["cost_known"]:
            said = (
                f"What {total['requests']:,} requests cost nobody knows: none of {total['unpriced']:,} answers of "
                "models has a cost (not counted)"
            )
            return f"{said}{self._repriced_words()}."
        said = f"{total['requests']:,} requests cost ${usd(total['cost_nano']):,.9f}"
        if total["unpriced"]:
            said += f"; of {total['unpriced']:,} that a model answered nobody knows the cost (not counted)"
        if total["from_cache"]:
            said += f"; the cache answered {total['from_cache']:,} of them"
        return f"{said}{self._repriced_words()}."

    def _repriced_words(self) -> str:
        total = self.total
        if not total.get("repriced_known"):
            return ""
        said = f". At the new prices ${usd(total['repriced_nano']):,.9f}"
        if total["cost_nano"]:
            said += f" ({total['repriced_nano'] / total['cost_nano'] - 1:+.1%})"
        if total["not_repriced"]:
            said += f"; {total['not_repriced']:,} requests have no tokens and count as they are"
        return said

    def prediction_sentence(self) -> str:
        """Return how far the predictions of costs were off, in words."""
        total = self.total
        if not total["predicted_requests"]:
            return "No request has both a predicted and an actual cost."
        ratio, low, high = (total[f"actual_over_predicted{end}"] for end in ("", "_low", "_high"))
        if ratio is None:
            return "All costs were predicted to be 0."
        interval = "" if low is None else f" [{low:.1%}, {high:.1%}]"
        off = "" if total["error_share"] is None else f"; a single request's is off by {total['error_share']:.0%} of it"
        return (
            f"{total['predicted_requests']:,} requests were predicted to cost ${total['predicted_usd']:,.6g} and cost "
            f"${total['actual_usd']:,.6g}: {ratio:.1%}{interval} of the prediction{off}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it for a report."""
        return {
            "sentence": self.sentence(),
            "prediction": self.prediction_sentence(),
            "by": list(self.question.by),
            "total": dict(self.total),
            "n_groups": self.n_groups,
            "groups": self.groups.to_pylist(),
        }


def read_spending(store: LogStore, question: CostQuestion) -> Spending:
    """Return what was spent, in one pass over the log.

    Raises
    ------
    InputError
        If a time of the question has no zone.
    DataError
        If a file of the store is damaged.
    """
    found = store.sql(_query(question))
    if "day" in question.by:
        found = found.set_column(question.by.index("day"), "day", found["day"].cast(pa.string()))
    counts = found["n_groups"].to_pylist()
    is_total = np.asarray(found["is_total"].to_pylist(), dtype=bool)
    told = _with_figures(found.drop_columns(["is_total", "n_groups"]))
    total = {
        name: value for name, value in told.filter(pa.array(is_total)).to_pylist()[0].items() if name not in question.by
    }
    return Spending(question, told.filter(pa.array(~is_total)), total, int(counts[0]))


def _query(question: CostQuestion) -> str:
    dimensions = "".join(f', {DIMENSIONS[name]} AS "{name}"' for name in question.by)
    return f"""
    WITH rows AS NOT MATERIALIZED (
        SELECT *, {nano_sql("cost_usd")} AS nano, {FROM_CACHE} AS cached,
            cost_usd IS NOT NULL AND predicted_cost_usd IS NOT NULL AND NOT {FROM_CACHE} AS paired
            {dimensions}{_repricing(question.prices)}
        FROM log WHERE {question.where()}
    ), repriced AS NOT MATERIALIZED (
        SELECT *{_repriced_nano(question.prices)} FROM rows
    )
    {_grouped(question)}
    """  # noqa: S608 - column names, numbers, times and quoted texts only


def _grouped(question: CostQuestion) -> str:
    """Return the query of the groups and, as the first row, of the total."""
    names = ", ".join(f'"{name}"' for name in question.by)
    sums = _SUMS | (_REPRICED if question.prices else {})
    figures = ", ".join(f'{expression} AS "{name}"' for name, expression in sums.items())
    if not names:
        return f"SELECT true AS is_total, 0 AS n_groups, {figures} FROM repriced"  # noqa: S608 - as above
    limit = "" if question.limit is None else f"LIMIT {question.limit}"
    newest = '"day" DESC, ' if "day" in question.by else ""  # days are read one after another, not the dearest first
    order = f"is_total DESC, {newest}cost_nano DESC, {names}"
    if "request" in question.by:  # each is a group of its own: the dearest are found without grouping all
        nothing = ", ".join(f"NULL AS {name}" for name in names.split(", "))
        return f"""
        SELECT {names}, false AS is_total, count(*) AS n_groups, {figures} FROM (
            SELECT * FROM repriced ORDER BY nano DESC NULLS LAST, request_id {limit}
        ) GROUP BY {names}
        UNION ALL SELECT {nothing}, true, count(*), {figures} FROM repriced ORDER BY {order}
        """  # noqa: S608 - as above
    # One scan gives the groups and the total.
    return f"""
    SELECT {names}, CAST(grouping({names.split(", ")[0]}) AS BOOLEAN) AS is_total,
        count(*) OVER () - 1 AS n_groups, {figures}
    FROM repriced GROUP BY GROUPING SETS (({names}), ()) ORDER BY {order} {limit and f"{limit} + 1"}
    """  # noqa: S608 - as above


def _repricing(prices: Mapping[str, Price]) -> str:
    if not prices:
        return ""
    cases = " ".join(f"WHEN {text_sql(model)} THEN {price_sql(price)}" for model, price in prices.items())
    models = ", ".join(map(text_sql, prices))
    return (
        f", coalesce(served_model IN ({models}), false) AND NOT {FROM_CACHE} AS asked, "
        f"CASE served_model {cases} END AS new_usd"
    )


def _repriced_nano(prices: Mapping[str, Price]) -> str:
    if not prices:
        return ""
    return f", CASE WHEN asked AND new_usd IS NOT NULL THEN {nano_sql('new_usd')} ELSE nano END AS new_nano"


def _with_figures(found: pa.Table) -> pa.Table:
    """Return the sums with what follows from them, in place of those that only make intervals."""
    sums = {name: found[name].to_numpy().astype(float) for name in _SUMS}
    requests, n, predicted, actual = (
        sums[name] for name in ("requests", "predicted_requests", "predicted_usd", "actual_usd")
    )
    ratio = _over(actual, predicted)
    # The ratio of two means (Cochran 1977, 6.4), from its sums.
    squares = np.maximum(sums["_aa"] - 2 * ratio * sums["_ap"] + ratio**2 * sums["_pp"], 0.0)
    spread = _over(np.sqrt(squares * _over(n, n - 1)), predicted)
    half = student.ppf(0.975, np.where(n > 1, n - 1, np.nan)) * spread
    figures = {
        "cost_usd": sums["cost_nano"] / 1e9,
        "usd_per_request": _over(sums["cost_nano"] / 1e9, np.where(sums["cost_known"] > 0, requests, np.nan)),
        "actual_over_predicted": ratio,
        "actual_over_predicted_low": np.maximum(ratio - half, 0.0),
        "actual_over_predicted_high": ratio + half,
        "error_share": _over(sums["_off"], actual),
    }
    if "repriced_nano" in found.column_names:
        figures["repriced_usd"] = found["repriced_nano"].to_numpy() / 1e9
    table = found.drop_columns([name for name in _SUMS if name.startswith("_")])
    for name, values in figures.items():
        table = table.append_column(name, pa.array(values, pa.float64(), from_pandas=True))
    return table


def _over(a: Floats, b: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(b > 0, a / b, np.nan))
