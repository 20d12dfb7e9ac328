"""A ledger in SQLite or PostgreSQL. Steps come one after another: each holds the store's one write lock."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec
import sqlalchemy as sa

from beast_ml.domain.clock import Clock, SystemClock
from beast_ml.operations.budgets.booking import (
    CONTENDED_S,
    AccountRow,
    LeaseRow,
    book,
    end_lease,
    lose_lease,
    resize,
    revive,
)
from beast_ml.operations.budgets.ledger import (
    AHEAD_S,
    AccountState,
    Answer,
    Balance,
    Batch,
    Charge,
    Claim,
    Entry,
    RuleBook,
)
from beast_ml.operations.budgets.rules import BudgetRule, rules_by_name, windows_at
from beast_ml.operations.budgets.spenders import (
    JOURNALS,
    KnownRegions,
    book_again,
    book_by,
    merge_claim,
    not_awaited,
    spent_by,
)
from beast_ml.operations.budgets.sql_rows import LedgerRows, some
from beast_ml.operations.budgets.sql_store import SqlStore, ledger_engine
from beast_ml.operations.budgets.sql_tables import ACCOUNTS, FORWARDED, HOLDERS, LEASES, LOST, RULES, SHARES, SPENDERS

__all__ = ["SqlLedger"]

_DAY_S: Final = 86_400.0
_KEEP_FORWARDED_S: Final = _DAY_S
_KEEP_LOST_S: Final = 40 * _DAY_S
_KEEP_HOLDERS_S: Final = 7 * _DAY_S
_KEEP_WINDOWS_S: Final = 100 * _DAY_S
_FORGET_S: Final = 600.0
_MAX_FORWARDED: Final = 10_000

_CHARGES: Final = msgspec.json.Decoder(tuple[Charge, ...])


class SqlLedger:
    """A `Ledger` in a SQL database.

    Parameters
    ----------
    engine
        Of the database; see `ledger_engine`.
    clock
        Says which windows have begun. None: the database's own clock, or the host's with SQLite.
    """

    def __init__(self, engine: sa.Engine, clock: Clock | None = None) -> None:
        self.store, self._clock = SqlStore(engine), clock
        self._forgot_at = 0.0

    @classmethod
    def open(cls, url: str, clock: Clock | None = None) -> SqlLedger:
        """Return the ledger at an address, ``sqlite:///path`` or ``postgresql://...``.

        Its tables are made at the first call, so that a database that is away now may come back later.

        Raises
        ------
        InputError
            If the address is malformed.
        MissingExtraError
            If the driver is not installed.
        """
        return cls(ledger_engine(url), clock)

    def rules(self) -> RuleBook:
        """Return the rules that hold."""
        with self.store.writing() as stored:
            return stored.rules()

    def set_rules(self, rules: Sequence[BudgetRule], declared: str | None = None) -> RuleBook:
        """Replace the rules; see `Ledger`."""
        named = rules_by_name(rules)
        with self.store.writing() as stored:
            meta = stored.meta()
            if declared is not None and declared == meta.get("declared"):
                return stored.rules()
            stored.connection.execute(RULES.delete())
            rows = [
                {"name": name, "place": n, "rule": msgspec.json.encode(rule).decode(), "limit_nano": rule.limit_nano}
                for n, (name, rule) in enumerate(named.items())
            ]
            if rows:
                stored.connection.execute(RULES.insert(), rows)
            changed = {"rules_version": str(int(meta.get("rules_version", "0")) + 1)}
            stored.set_meta(changed | ({} if declared is None else {"declared": declared}))
            return stored.rules()

    def exchange(self, batch: Batch) -> Answer:
        """Book a holder's step; see `Ledger`."""
        with self.store.writing() as stored:
            holder = stored.connection.execute(HOLDERS.select().where(HOLDERS.c.holder == batch.holder)).one_or_none()
            seq, state = (0, "live") if holder is None else (int(holder.seq), str(holder.state))
            if state == "closed":
                return Answer("closed")
            fresh = batch.seq == seq + 1
            if not fresh and (batch.final or batch.seq != seq):
                return Answer("stale")
            corrected = self._settle(stored, batch.settlements, batch.now_s)
            leases = stored.leases(batch.holder)
            asked = {*_charges(batch.entries), *_charges(batch.claims)}
            accounts = stored.accounts(asked | set(leases))
            if state == "expired":
                for charge, lease in leases.items():
                    revive(accounts[charge], lease)
            meta = stored.meta()
            clock_s = self.clock_s(stored)
            latest = max(meta.get("day", ""), batch.windows[0]), max(meta.get("month", ""), batch.windows[1])
            windows = _later_windows(latest, batch.entries, clock_s)
            if windows != (meta.get("day", ""), meta.get("month", "")):
                stored.set_meta({"day": windows[0], "month": windows[1]})
            limits = self._limits(stored, batch.entries, clock_s)
            known = stored.known_regions(meta)
            if batch.region:
                known = self._hear(stored, known, batch, clock_s)
            spenders = stored.spenders(asked) if batch.region or batch.forgotten else {}
            if fresh:
                for claim in batch.claims:
                    charge = (claim.account, claim.window)
                    merge_claim(accounts[charge], leases[charge], spenders[charge], claim, batch.region, known.state)
                for entry in batch.entries:
                    charge = (entry.account, entry.window)
                    book(accounts[charge], leases[charge], entry)
                    if batch.region:
                        book_by(spenders[charge], batch.region, entry)
                    elif batch.forgotten:
                        book_again(accounts[charge], spenders[charge], entry)
                stored.store_spenders(spenders)
                self._lose(stored, batch, accounts)
            for entry in () if batch.final else batch.entries:
                charge = (entry.account, entry.window)
                resize(
                    accounts[charge],
                    leases[charge],
                    entry,
                    limits[charge],
                    may_grow=entry.window in windows and not known.awaited,
                    now_s=batch.now_s,
                )
            if batch.final:
                for charge, lease in leases.items():
                    end_lease(accounts[charge], lease, lose_rest=batch.lose_rest)
            stored.store_accounts(accounts, batch.now_s)
            stored.store_leases(batch.holder, leases)
            stored.put(
                HOLDERS,
                [
                    {
                        "holder": batch.holder,
                        "seq": batch.seq,
                        "seen_at": batch.now_s + batch.life_s,
                        "state": "closed" if batch.final else "live",
                    }
                ],
            )
            balances = tuple(
                _balance(entry, accounts, leases, limits[entry.account, entry.window], batch.now_s)
                for entry in batch.entries
            )
            for part in some(batch.consumed):
                stored.connection.execute(FORWARDED.delete().where(FORWARDED.c.n.in_(part)))
            self._changed(stored, corrected | set(accounts))
            forwarded = stored.connection.execute(
                FORWARDED.select().where(FORWARDED.c.n > batch.since).order_by(FORWARDED.c.n).limit(_MAX_FORWARDED)
            ).all()
            return Answer(
                "applied",
                int(meta.get("rules_version", "0")),
                self._told(stored, batch.entries, balances, clock_s),
                windows,
                tuple((int(row.n), str(row.reservation_id), int(row.actual)) for row in forwarded),
                max((int(row.n) for row in forwarded), default=batch.since),
                clock_s,
                tuple(spent_by(accounts[charge], spenders[charge], known.state) for charge in _charges(batch.entries))
                if batch.region
                else (),
                tuple(sorted(known.seen)) if batch.region else (),
                known.awaited if batch.region else (),
            )

    def applied(self, holder: str) -> int | None:
        """Return the number of a holder's last step; see `Ledger`."""
        with self.store.writing() as stored:
            row = stored.connection.execute(HOLDERS.select().where(HOLDERS.c.holder == holder)).one_or_none()
        if row is None:
            return 0
        return None if row.state == "closed" else int(row.seq)

    def expire(self, now_s: float, ttl_s: float) -> int:
        """Count the leases of silent holders as lost, and forget what is old; see `Ledger`."""
        with self.store.writing() as stored:
            silent = stored.connection.scalars(
                sa.select(HOLDERS.c.holder).where(HOLDERS.c.state == "live", HOLDERS.c.seen_at < now_s - ttl_s)
            ).all()
            for holder in silent:
                leases = stored.leases(holder)
                accounts = stored.accounts(set(leases))
                for charge, lease in leases.items():
                    lose_lease(accounts[charge], lease)
                stored.store_accounts(accounts, now_s)
                stored.store_leases(holder, leases)
                self._changed(stored, set(accounts))
            for part in some(silent):
                stored.connection.execute(HOLDERS.update().where(HOLDERS.c.holder.in_(part)).values(state="expired"))
            if abs(now_s - self._forgot_at) > _FORGET_S:
                self._forget(stored, now_s)
                self._forgot_at = now_s
        return len(silent)

    def accounts(self, tenant: str | None = None, *, ended: bool = False) -> list[AccountState]:
        """Return the accounts in the windows that run, or all that are kept; see `Ledger`."""
        with self.store.writing() as stored:
            query = ACCOUNTS.select()
            if not ended:
                meta = stored.meta()
                query = query.where(ACCOUNTS.c.window.in_([meta.get("day", ""), meta.get("month", "")]))
            if tenant is not None:
                query = query.where(ACCOUNTS.c.tenant == tenant)
            rows = stored.connection.execute(query.order_by(ACCOUNTS.c.account, ACCOUNTS.c.window)).all()
        return [AccountState(row.account, row.window, row.settled, row.lost, row.leased, row.reserved) for row in rows]

    def awaited(self) -> tuple[str, ...]:
        """Return the regions that have to say what they know; see `Ledger`."""
        with self.store.writing() as stored:
            return stored.known_regions(stored.meta()).awaited

    def go_without(self, region: str) -> None:
        """Lend again without hearing what a region knows; see `Ledger`."""
        with self.store.writing() as stored:
            known = stored.known_regions(stored.meta())
            if region not in known.awaited:
                raise not_awaited(region, known.awaited)
            left = tuple(name for name in known.awaited if name != region)
            stored.set_known_regions(msgspec.structs.replace(known, awaited=left))

    def close(self) -> None:
        """Close the connections."""
        self.store.close()

    def _hear(self, stored: LedgerRows, known: KnownRegions, batch: Batch, clock_s: float) -> KnownRegions:
        """Take note of a region's step, and whether it has said what it knows."""
        if not known.state:
            known = msgspec.structs.replace(known, state=JOURNALS + uuid.uuid4().hex[:8])
        heard = known.hear(batch.region, batch.others, clock_s, more=batch.claims_more)
        stored.set_known_regions(heard)
        return heard

    def _changed(self, stored: LedgerRows, charges: Collection[Charge]) -> None:
        """Take note of accounts that a step has changed."""

    def _limits(self, stored: LedgerRows, entries: Sequence[Entry], clock_s: float) -> dict[Charge, int | None]:
        """Return up to what the entries' accounts may be spent, settled and lost amounts and leases together."""
        limits = stored.limits(entries)
        return {(entry.account, entry.window): limits[entry.account] for entry in entries}

    def _told(
        self, stored: LedgerRows, entries: Sequence[Entry], balances: tuple[Balance, ...], clock_s: float
    ) -> tuple[Balance, ...]:
        """Return what a holder is told of where its accounts stand."""
        return balances

    def clock_s(self, stored: LedgerRows) -> float:
        """Return seconds since 1970 by the ledger's own clock."""
        if self._clock is None and self.store.is_postgresql:
            return float(stored.connection.scalars(sa.select(sa.extract("epoch", sa.func.clock_timestamp()))).one())
        return (self._clock or SystemClock()).now().timestamp()

    def _settle(self, stored: LedgerRows, settlements: Sequence[tuple[str, int]], now_s: float) -> set[Charge]:
        """Correct what is lost, up to what was reserved; keep the rest for the holder that has the reservation."""
        told: dict[str, int] = {}
        corrected: set[Charge] = set()
        for reservation_id, actual in settlements:
            told.setdefault(reservation_id, actual)
        unknown = set(told)
        for part in some(told):
            for row in stored.connection.execute(LOST.select().where(LOST.c.reservation_id.in_(part))).all():
                unknown.discard(row.reservation_id)
                actual = min(told[row.reservation_id], row.upper)
                for account, window in _CHARGES.decode(row.charges):
                    corrected.add((account, window))
                    stored.connection.execute(
                        ACCOUNTS.update()
                        .where(ACCOUNTS.c.account == account, ACCOUNTS.c.window == window)
                        .values(settled=ACCOUNTS.c.settled + actual, lost=ACCOUNTS.c.lost - row.upper)
                    )
            stored.connection.execute(LOST.delete().where(LOST.c.reservation_id.in_(part)))
        stored.add(
            FORWARDED,
            [
                {"reservation_id": reservation_id, "actual": actual, "at": now_s}
                for reservation_id, actual in told.items()
                if reservation_id in unknown
            ],
        )
        return corrected

    def _lose(self, stored: LedgerRows, batch: Batch, accounts: dict[Charge, AccountRow]) -> None:
        """Remember lost reservations; those whose settlement has come by another worker are settled at once."""
        told: dict[str, int] = {}
        for part in some(each.reservation_id for each in batch.lost):
            query = sa.select(FORWARDED.c.reservation_id, FORWARDED.c.actual)
            rows = stored.connection.execute(query.where(FORWARDED.c.reservation_id.in_(part))).all()
            told |= {row.reservation_id: int(row.actual) for row in rows}
        remembered = []
        for each in batch.lost:
            if each.reservation_id in told:
                for charge in each.charges:
                    accounts[charge].lost -= each.upper
                    accounts[charge].settled += min(told[each.reservation_id], each.upper)
            else:
                charges = msgspec.json.encode(each.charges).decode()
                row = {"reservation_id": each.reservation_id, "upper": each.upper, "charges": charges}
                remembered.append(row | {"at": batch.now_s})
        stored.put(LOST, remembered)
        for part in some(told):
            stored.connection.execute(FORWARDED.delete().where(FORWARDED.c.reservation_id.in_(part)))

    def _forget(self, stored: LedgerRows, now_s: float) -> None:
        """Delete what nobody can ask for any more; the windows are closed by the latest ones in `budget_meta`."""
        stored.connection.execute(FORWARDED.delete().where(FORWARDED.c.at < now_s - _KEEP_FORWARDED_S))
        stored.connection.execute(LOST.delete().where(LOST.c.at < now_s - _KEEP_LOST_S))
        ended = (HOLDERS.c.state == "closed") & (HOLDERS.c.seen_at < now_s - _KEEP_HOLDERS_S)
        stored.connection.execute(HOLDERS.delete().where(ended))
        leased = sa.select(LEASES.c.account).where(
            LEASES.c.account == ACCOUNTS.c.account, LEASES.c.window == ACCOUNTS.c.window
        )
        old = ACCOUNTS.c.touched_at < now_s - _KEEP_WINDOWS_S
        stored.connection.execute(ACCOUNTS.delete().where(old, ~leased.exists()))
        kept = sa.select(ACCOUNTS.c.account).where(
            ACCOUNTS.c.account == SPENDERS.c.account, ACCOUNTS.c.window == SPENDERS.c.window
        )
        lent = sa.select(SHARES.c.account).where(
            SHARES.c.account == SPENDERS.c.account, SHARES.c.window == SPENDERS.c.window
        )
        stored.connection.execute(SPENDERS.delete().where(~kept.exists(), ~lent.exists()))


def _later_windows(latest: tuple[str, str], entries: Iterable[Entry], clock_s: float) -> tuple[str, str]:
    """Return the latest windows after those that are asked to be leased from are known.

    A clock that is wrong opens nothing, and what one has opened is closed again.
    """
    last_day, last_month = windows_at(clock_s + AHEAD_S)
    today, this_month = windows_at(clock_s)
    day = latest[0] if latest[0] <= last_day else today
    month = latest[1] if latest[1] <= last_month else this_month
    for entry in entries:
        if entry.target > 0:
            if len(entry.window) == len("2026-11"):
                month = max(month, entry.window) if entry.window <= last_month else month
            elif entry.window <= last_day:
                day = max(day, entry.window)
    return day, month


def _charges(entries: Iterable[Entry | Claim]) -> list[Charge]:
    return [(entry.account, entry.window) for entry in entries]


def _balance(
    entry: Entry,
    accounts: dict[Charge, AccountRow],
    leases: dict[Charge, LeaseRow],
    limit: int | None,
    now_s: float,
) -> Balance:
    account = accounts[entry.account, entry.window]
    return Balance(
        entry.account,
        entry.window,
        leases[entry.account, entry.window].amount,
        account.settled,
        account.lost,
        account.leased,
        account.reserved,
        limit,
        abs(now_s - account.wanted_at) < CONTENDED_S,
    )
