"""The budget keeper of one worker: decides out of leases in memory, and talks to the ledger in the background."""

from __future__ import annotations

import asyncio
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from beast_ml.domain.clock import Clock, SystemClock
from beast_ml.errors import InputError, LedgerError, UnavailableError
from beast_ml.events import events
from beast_ml.operations.budgets.account_book import AccountBook, Holding
from beast_ml.operations.budgets.journal import SUFFIX, Journal
from beast_ml.operations.budgets.known_rules import declare, remember, remembered
from beast_ml.operations.budgets.ledger import Ledger, RuleBook
from beast_ml.operations.budgets.ledger_steps import LedgerSteps
from beast_ml.operations.budgets.recovery import journals_folder
from beast_ml.operations.budgets.reservations import Reservations
from beast_ml.operations.budgets.rules import BudgetRule, BudgetStatus, rules_by_name

__all__ = ["BudgetGuard"]

_ANSWER_S: Final = 10.0
_RETRY_S: Final = 0.1


class BudgetGuard:
    """Reserves before, settles after. One per worker; all methods belong to its event loop. See `open`.

    Parameters
    ----------
    ledger
        What workers share; its calls block and run in threads.
    journal
        Of this holder.
    holder
        This worker's name on the ledger, never used before.
    book
        The rules that hold; others are learned with each answer of the ledger.
    clock
        Tells the day. It may jump: a window that has ended is never opened again, and one that is more than a day
        ahead of the ledger's clock is never entered.
    reservation_s
        Seconds after which a reservation that nobody settled counts as spent.
    beat_s
        Seconds between steps on the ledger.
    patience_s
        Seconds that `reserve` waits for other workers to give back what they leased and do not use.
    monotonic
        Seconds that only grow.
    known, undeclared
        See `LedgerSteps`.
    """

    def __init__(
        self,
        ledger: Ledger,
        journal: Journal,
        holder: str,
        book: RuleBook,
        *,
        clock: Clock,
        reservation_s: float = 900.0,
        beat_s: float = 1.0,
        patience_s: float = 3.0,
        monotonic: Callable[[], float] = time.monotonic,
        known: Path | None = None,
        undeclared: Sequence[BudgetRule] | None = None,
    ) -> None:
        self._clock, self._monotonic = clock, monotonic
        self._reservation_s, self._beat_s, self._patience_s = reservation_s, beat_s, patience_s
        self._book = AccountBook(book, clock.now())
        self._reservations = Reservations(journal)
        self._steps = LedgerSteps(
            ledger,
            journal,
            holder,
            self._book,
            self._reservations,
            clock=clock,
            monotonic=monotonic,
            known=known,
            undeclared=undeclared,
        )
        self._beating: asyncio.Task[None] | None = None

    @classmethod
    def open(
        cls,
        ledger: Ledger,
        state: Path,
        rules: Sequence[BudgetRule] | None = None,
        *,
        clock: Clock | None = None,
        reservation_s: float = 900.0,
        beat_s: float = 1.0,
        patience_s: float = 3.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> BudgetGuard:
        """Return the guard of a new holder; blocks while it asks the ledger for the rules.

        Parameters
        ----------
        state
            The state folder; the journal lies in its ``budgets``.
        rules
            As the settings have them. They replace the ledger's where the settings have changed since they were last
            declared, so that rules set at run time outlive a restart. None: whatever the ledger has.

        Raises
        ------
        InputError
            If two rules set the same budget.
        UnavailableError
            If the ledger is away and no rules are given, or the disk refuses.
        """
        known = journals_folder(state) / "rules.json"
        undeclared: Sequence[BudgetRule] | None = None
        try:
            book = ledger.rules() if rules is None else declare(ledger, rules)
            remember(known, book)
        except UnavailableError as error:
            # Nothing is leased, so nothing can be spent, until the ledger is back and says which rules hold.
            undeclared = rules
            last = remembered(known)
            if not last and rules is None:
                raise
            events.warning("budgets.ledger_away", error=str(error))
            book = RuleBook(-1, tuple(({each.name: each for each in rules or ()} | rules_by_name(last)).values()))
        holder = f"{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
        journal = Journal(journals_folder(state) / f"{holder}{SUFFIX}", holder)
        return cls(
            ledger,
            journal,
            holder,
            book,
            clock=clock or SystemClock(),
            reservation_s=reservation_s,
            beat_s=beat_s,
            patience_s=patience_s,
            monotonic=monotonic,
            known=known,
            undeclared=undeclared,
        )

    def try_reserve(self, reservation_id: str, tenant: str, user: str | None, upper_nano: int) -> bool:
        """Set the upper cost of a request aside, without leaving this process.

        Parameters
        ----------
        reservation_id
            One word that no other reservation has, such as the request id.

        Returns
        -------
        bool
            True: reserved, or no rule applies. False: the lease at hand does not cover it; await `reserve`.

        Raises
        ------
        BudgetExceededError
            If a budget surely does not have it.
        InputError
            If the amount is negative, or the reservation stands already.
        UnavailableError
            If the journal cannot be written.
        """
        book = self._book
        if not book.rules:
            return True
        if (today := self._clock.now()) >= book.rolls_at:
            book.roll(today)
        charged = book.charged.get((tenant, user)) or book.charge(tenant, user)
        if not charged.accounts:
            return True
        if upper_nano < 0:
            raise InputError(f"`upper_nano` == {upper_nano}, must be >= 0")
        if reservation_id in self._reservations.open:
            raise InputError(f"`reservation_id` == {reservation_id!r} is reserved already: settle it first")
        now = self._monotonic()
        short = low = False
        for account in charged.accounts:
            if upper_nano > account.available:
                if error := account.refusal(upper_nano, now):
                    raise error
                short = True
            elif account.available - upper_nano < account.low:
                low = True
        if short:
            return False
        self._reservations.add(reservation_id, upper_nano, charged, now + self._reservation_s)
        for account in charged.accounts:
            account.available -= upper_nano
            account.open += upper_nano
            account.reserved_since += upper_nano
            account.touched_at = now
        if low:
            self._steps.poked.set()
        return True

    async def reserve(self, reservation_id: str, tenant: str, user: str | None, upper_nano: int) -> None:
        """Set the upper cost of a request aside; ask the ledger for it where the lease does not cover it.

        Raises
        ------
        BudgetExceededError
            If a budget does not have it.
        LedgerError
            If the ledger is away: what cannot be checked is refused.
        """
        patience_ends = self._monotonic() + self._patience_s
        while not self.try_reserve(reservation_id, tenant, user, upper_nano):
            with self._needing(self._book.charge(tenant, user).accounts, upper_nano):
                asked = self._steps.n_built + 1
                while self._steps.n_applied < asked:  # a step on its way was built before we asked
                    try:
                        async with asyncio.timeout(_ANSWER_S):
                            await self.beat()
                    except TimeoutError:
                        raise LedgerError(f"the budget ledger has not answered for {_ANSWER_S:g} s") from None
                    if self._steps.away is not None:
                        raise LedgerError(str(self._steps.away))
                if self.try_reserve(reservation_id, tenant, user, upper_nano):
                    return
            short = [each for each in self._book.charge(tenant, user).accounts if each.available < upper_nano]
            for account in short:
                if self._monotonic() >= patience_ends or not account.may_have(upper_nano):
                    raise account.refuse(upper_nano, self._monotonic())
            await asyncio.sleep(_RETRY_S)

    def settle(self, reservation_id: str, actual_nano: int, *, told: bool = False) -> None:
        """Replace a reservation by what the request cost: once, however often it is told, and whoever reserved it.

        Parameters
        ----------
        told
            A client says so: it counts at most up to what was reserved. What settles another worker's reservation, or
            one that is lost, counts so in any case.

        Raises
        ------
        InputError
            If the amount is negative.
        """
        if actual_nano < 0:
            raise InputError(f"`actual_nano` == {actual_nano}, must be >= 0")
        stood_here = self._reservations.settle(reservation_id, actual_nano, told=told)
        if not stood_here and (self._book.rules or self._book.accounts):
            self._reservations.settle_elsewhere(reservation_id, actual_nano)

    def pressure(self, tenant: str, user: str | None) -> float:
        """Return what to multiply the willingness to pay by: 1 below the soft share, smoothly 0 at a hard limit."""
        book, now = self._book, self._clock.now()
        if now >= book.rolls_at:
            book.roll(now)
        charged = book.charged.get((tenant, user)) or book.charge(tenant, user)
        pressure = 1.0
        for account in charged.accounts:
            if account.used() >= account.soft_nano:
                pressure = min(pressure, account.pressure(now.timestamp()))
        return pressure

    def status(self, tenant: str | None) -> list[BudgetStatus]:
        """Return the budgets that this worker has to do with, as it last saw them; of one tenant, or all."""
        return self._book.statuses(tenant)

    async def fresh_status(self, tenant: str | None) -> list[BudgetStatus]:
        """Return the budgets of a tenant and its users, or all, over all workers, as the ledger has them.

        Raises
        ------
        UnavailableError
            If the ledger is away.
        """
        await self.beat()
        return self._book.statuses(tenant, await asyncio.to_thread(self._steps.ledger.accounts, tenant))

    async def set_rules(self, rules: Sequence[BudgetRule]) -> None:
        """Replace the rules for all workers; they see it within seconds, the ledger keeps to it at once.

        Raises
        ------
        InputError
            If two rules set the same budget.
        UnavailableError
            If the ledger is away.
        """
        self._steps.take_rules(await asyncio.to_thread(self._steps.ledger.set_rules, rules))

    @property
    def rules(self) -> tuple[BudgetRule, ...]:
        """The rules as this worker knows them."""
        return tuple(self._book.rules.values())

    @property
    def has_rules(self) -> bool:
        """Whether there is any rule."""
        return bool(self._book.rules)

    @property
    def error(self) -> str | None:
        """Why the ledger was not reached the last time, or is used no more; None where all is well."""
        return None if self._steps.away is None else str(self._steps.away)

    async def start(self) -> None:
        """Begin to report to and lease from the ledger in the background."""
        await self.beat()
        self._beating = asyncio.create_task(self._beat_on())

    async def close(self) -> None:
        """Report, give the leases back, and end; what is still open counts as spent until it is settled elsewhere."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        await self.beat()
        await self._steps.end()

    async def beat(self) -> None:
        """Take one step on the ledger: report, lease, give back. Never raises; `reserve` says what went wrong."""
        await self._steps.take()

    async def _beat_on(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._beat_s):
                    await self._steps.poked.wait()
            except TimeoutError:
                pass
            self._steps.poked.clear()
            await self.beat()

    @contextmanager
    def _needing(self, accounts: Holding, upper: int) -> Iterator[None]:
        """Have the next step ask for an amount."""
        for account in accounts:
            account.needed += upper
        try:
            yield
        finally:
            for account in accounts:
                account.needed -= upper
