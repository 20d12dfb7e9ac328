"""What a batch of entries changes in the SQL tier, worked out beside the database so that few statements do it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from beast_ml.cache.entry import CacheEntry

__all__ = ["KeptRow", "PutPlan", "plan_put"]


@dataclass(frozen=True, slots=True)
class KeptRow:
    """What a row says of its entry; ``normalised`` is None where another entry holds that key.

    Parameters
    ----------
    entry_id, tenant, exact, created_at, size
        Its id, whose it is, its exact key, when it was made (seconds since 1970), and its bytes.
    """

    entry_id: str
    tenant: str
    exact: bytes
    normalised: bytes | None
    created_at: float
    size: int


@dataclass(slots=True)
class PutPlan:
    """Rows to delete, rows that lose their normalised key, and rows to insert with the entry of each.

    Parameters
    ----------
    gone
        Rows to delete, by the id of their entry.
    outshone
        Rows that lose their normalised key, likewise.
    new
        Rows to insert, with the entry of each.
    """

    gone: dict[str, KeptRow] = field(default_factory=dict)
    outshone: dict[str, KeptRow] = field(default_factory=dict)
    new: list[tuple[KeptRow, CacheEntry, bytes]] = field(default_factory=list)


def plan_put(kept: Iterable[KeptRow], entries: Sequence[tuple[CacheEntry, bytes | None]]) -> PutPlan:
    """Return what putting entries, one after the other, changes.

    Parameters
    ----------
    kept
        The rows that share an id or a key with any of the entries; one that has expired was created at minus infinity,
        so that any other one is younger.
    entries
        Each with the bytes to be kept of it; None for one that cannot be kept, and only replaces that of its id.
    """
    before = {row.entry_id: row for row in kept}
    rows = dict(before)
    exact = {row.exact: row.entry_id for row in rows.values()}
    normalised = {row.normalised: row.entry_id for row in rows.values() if row.normalised is not None}
    bodies: dict[str, tuple[CacheEntry, bytes]] = {}

    def drop(entry_id: str | None) -> None:
        row = None if entry_id is None else rows.pop(entry_id, None)
        if row is not None:
            del exact[row.exact]
            if row.normalised is not None:
                del normalised[row.normalised]

    for entry, body in entries:
        drop(entry.entry_id)
        same = exact.get(entry.key.exact)
        if body is None or (same is not None and rows[same].created_at > entry.created_at):
            continue
        drop(same)
        holds: bytes | None = entry.key.normalised
        other = normalised.get(entry.key.normalised)
        if other is not None and rows[other].created_at > entry.created_at:
            holds = None
        elif other is not None:
            loser = rows[other]
            rows[other] = KeptRow(other, loser.tenant, loser.exact, None, loser.created_at, loser.size)
        rows[entry.entry_id] = KeptRow(
            entry.entry_id, entry.key.tenant_id, entry.key.exact, holds, entry.created_at, len(body)
        )
        bodies[entry.entry_id] = entry, body
        exact[entry.key.exact] = entry.entry_id
        if holds is not None:
            normalised[holds] = entry.entry_id

    plan = PutPlan()
    for entry_id, row in before.items():
        after = rows.get(entry_id)
        if after is None or entry_id in bodies:
            plan.gone[entry_id] = row
        elif after.normalised != row.normalised:
            plan.outshone[entry_id] = row
    plan.new = [(rows[entry_id], *bodies[entry_id]) for entry_id in bodies if entry_id in rows]
    return plan
