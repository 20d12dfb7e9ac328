"""Settling the accounts of workers that were killed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from beast_ml.domain.clock import Clock, SystemClock
from beast_ml.errors import UnavailableError
from beast_ml.events import events
from beast_ml.operations.budgets.journal import SUFFIX, final_batch, lock_abandoned, replay
from beast_ml.operations.budgets.ledger import Ledger

__all__ = ["HOLDER_TTL_S", "journals_folder", "recover"]

HOLDER_TTL_S: Final = 60.0
"""Seconds of silence after which a holder's leases count as lost."""


def journals_folder(state: Path) -> Path:
    """Return where the workers of a state folder keep their journals."""
    return state / "budgets"


def recover(state: Path, ledger: Ledger, *, clock: Clock | None = None, holder_ttl_s: float = HOLDER_TTL_S) -> int:
    """Replay the journals of dead workers, and expire the leases of silent hosts; return how many workers that were.

    What they settled is booked, what they had reserved counts as spent until a late outcome says what it cost, and
    the rest of their leases goes back. It may be called at any time, by several processes, and again after a crash.

    Raises
    ------
    UnavailableError
        If the ledger is away; nothing is lost, the next call does it.
    """
    now_s = (clock or SystemClock()).now().timestamp()
    found = sum(_recover_one(path, ledger, now_s) for path in sorted(journals_folder(state).glob(f"*{SUFFIX}")))
    expired = ledger.expire(now_s, holder_ttl_s)
    if expired:
        events.warning("budgets.leases_expired", holders=expired, silent_s=holder_ttl_s)
    return found


def _recover_one(path: Path, ledger: Ledger, now_s: float) -> int:
    fd = lock_abandoned(path)
    if fd is None:
        return 0
    try:
        content = path.read_bytes()
        holder = path.name.removesuffix(SUFFIX)
        for _ in range(10):
            applied = ledger.applied(holder)
            if applied is None:
                break
            found = replay(content, applied)
            batch = final_batch(
                holder,
                applied + 1,
                now_s,
                found.settled,
                found.open.values(),
                found.forwarded,
                lose_rest=not found.whole,
                forgotten=not applied and found.reported > 1,  # the ledger lost its state, not only its last steps
            )
            if ledger.exchange(batch).state != "stale":
                events.warning(
                    "budgets.worker_recovered", holder=holder, lost_reservations=len(batch.lost), whole=found.whole
                )
                break
            # a step that the worker sent just before it died has arrived in the meantime: look again
        else:
            raise UnavailableError(f"the budget ledger does not take the last step of {holder}: try again")
        path.unlink(missing_ok=True)
        return 1
    finally:
        os.close(fd)
