"""The shares that the variants of an experiment had when a unit was first drawn, from the experiment's history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from beast_ml.experiments.definitions import Experiment
from beast_ml.logs.sql_values import text_sql, time_sql
from beast_ml.logs.store import LogStore

__all__ = ["PastShares", "drawn_by"]

Floats = NDArray[np.float64]

_SETTLES: Final = np.timedelta64(10, "s")
"""How long after a change units are not looked at: workers follow it within a second, by clocks of their own."""


@dataclass(frozen=True)
class PastShares:
    """The periods in which shares stayed the same.

    Parameters
    ----------
    variants
        Names, as the experiment has them.
    since
        (periods,) when each began, in UTC.
    shares
        (periods, variants) of the units; all 0 while the experiment was stopped.
    """

    variants: tuple[str, ...]
    since: tuple[datetime, ...]
    shares: Floats

    @classmethod
    def of(cls, experiment: Experiment) -> PastShares:
        """Take them from an experiment; without a history its shares have always been those that they are."""
        names = tuple(each.name for each in experiment.variants)
        if not experiment.history:
            shares = np.array([[each.share for each in experiment.variants]])
            return cls(names, (datetime(1970, 1, 1, tzinfo=UTC),), shares)
        history = experiment.history
        shares = np.array([[each.shares.get(name, 0.0) for name in names] for each in history])
        return cls(names, tuple(each.at.astimezone(UTC) for each in history), shares)

    def period(self, received_at: pa.ChunkedArray) -> NDArray[np.intp]:
        """Return (n,) the period of each time; what came before the first one counts to it."""
        return np.maximum(np.searchsorted(self._since(), _moments(received_at), side="right") - 1, 0)

    def age(self, received_at: pa.ChunkedArray) -> NDArray[np.timedelta64]:
        """Return (n,) how long its period had lasted at each time."""
        age: NDArray[np.timedelta64] = _moments(received_at) - self._since()[self.period(received_at)]
        return age

    def variant_numbers(self, variant: pa.ChunkedArray) -> NDArray[np.intp]:
        """Return (n,) the position of each name, -1 where it is none of the experiment."""
        found = pc.index_in(variant.combine_chunks(), pa.array(self.variants))
        return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), dtype=np.intp)

    def stopped(self) -> list[tuple[datetime, datetime | None]]:
        """Return when nothing was assigned: from, and before; None: until now."""
        ends = (*self.since[1:], None)
        return [(self.since[i], ends[i]) for i in np.flatnonzero(~(self.shares > 0).any(axis=1))]

    def _since(self) -> NDArray[np.datetime64]:
        return np.array([np.datetime64(each.replace(tzinfo=None), "us") for each in self.since])


def drawn_by(rows: pa.Table, store: LogStore, experiment: Experiment, unit_sql: str) -> dict[str, Floats]:
    """Return, by variant, (n,) the share that it had when each row's unit was drawn; NaN in rows that tell nothing.

    A unit tells how units are divided by the shares of its first request, whoever served that: one that came before,
    and took no part, is no fair draw once a variant has grown onto it. So nothing is told by rows of a later period
    than their unit's first, by units that first came just after a change, or while fewer than two variants had a share.

    Parameters
    ----------
    rows
        Of the experiment: ``unit_id, variant, received_at``.
    unit_sql
        What a unit is within its tenant.
    """
    past = PastShares.of(experiment)
    first = rows["received_at"] if experiment.unit == "request" else _first(rows, store, experiment.id, past, unit_sql)
    period, variant = past.period(rows["received_at"]), past.variant_numbers(rows["variant"])
    shares = past.shares[period]
    has_share = (variant >= 0) & (shares[np.arange(len(variant)), variant] > 0)
    is_settled = (past.age(first) >= _SETTLES) | (past.period(first) == 0)
    tells = has_share & is_settled & (past.period(first) == period) & ((shares > 0).sum(axis=1) > 1)
    return {name: np.where(tells, shares[:, i], np.nan) for i, name in enumerate(past.variants)}


def _first(rows: pa.Table, store: LogStore, name: str, past: PastShares, unit_sql: str) -> pa.ChunkedArray:
    """Return when each row's unit first came while the experiment ran, whether or not it took part."""
    while_running = [f"received_at >= {time_sql(past.since[0])}"]
    for start, end in past.stopped():
        until = "" if end is None else f" AND received_at < {time_sql(end)}"
        while_running.append(f"NOT (received_at >= {time_sql(start)}{until})")
    seen = store.sql(
        f"SELECT tenant_id || chr(0) || {unit_sql} AS unit_id, min(received_at) AS first FROM log "  # noqa: S608 - times and constants only
        f"WHERE {' AND '.join(while_running)} GROUP BY 1 "
        f"HAVING bool_or(coalesce(experiment_id = {text_sql(name)}, false))"
    )
    if not seen.num_rows:
        return rows["received_at"]
    # A row from before the history, or from a worker that had not heard of a stop yet, is its unit's first.
    position = pc.index_in(rows["unit_id"].combine_chunks(), seen["unit_id"].combine_chunks())
    found = seen["first"].combine_chunks().take(pc.fill_null(position, 0))
    own = rows["received_at"].combine_chunks().cast(found.type)
    return pa.chunked_array([pc.if_else(pc.is_valid(position), found, own)])


def _moments(received_at: pa.ChunkedArray) -> NDArray[np.datetime64]:
    return np.asarray(received_at.to_numpy(), dtype="datetime64[us]")
