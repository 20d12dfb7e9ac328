"""How one worker talks with the ledger: step by step it reports what was spent, leases, and gives back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from beast_ml.domain.clock import Clock
from beast_ml.errors import UnavailableError
from beast_ml.events import events
from beast_ml.operations.budgets.account import Account
from beast_ml.operations.budgets.account_book import AccountBook
from beast_ml.operations.budgets.journal import Journal, final_batch
from beast_ml.operations.budgets.known_rules import declare, remember
from beast_ml.operations.budgets.ledger import Answer, Batch, Charge, Entry, Ledger, LostReservation, RuleBook
from beast_ml.operations.budgets.reservations import Lapsed, Reservations
from beast_ml.operations.budgets.rules import BudgetRule

__all__ = ["LedgerSteps"]

_FOLD_BYTES: Final = 8 << 20
_MAX_CACHED: Final = 50_000
_SWEEP_S: Final = 60.0
_WHY_ENDED: Final = {
    "closed": "the budget ledger has closed this worker's account: restart the worker",
    "stale": "the budget ledger has lost or restored its state, it does not know what this worker has leased: restart "
    "the worker",
}


class LedgerSteps:
    """Takes steps, one at a time; a step of which nobody knows whether it was carried out is repeated as it was.

    Parameters
    ----------
    ledger
        What workers share; its calls block and run in threads.
    journal, holder
        Of this worker.
    book, reservations
        What it may spend, and what it has reserved.
    clock, monotonic
        Of the guard.
    known
        File for the rules as they were last seen; None: they are not kept.
    undeclared
        Rules that the ledger is to be told once it is there.
    """

    def __init__(
        self,
        ledger: Ledger,
        journal: Journal,
        holder: str,
        book: AccountBook,
        reservations: Reservations,
        *,
        clock: Clock,
        monotonic: Callable[[], float],
        known: Path | None = None,
        undeclared: Sequence[BudgetRule] | None = None,
    ) -> None:
        self.ledger = ledger
        self.poked = asyncio.Event()
        """Set when a step should be taken now."""
        self.away: UnavailableError | None = None
        """Why the ledger was not reached the last time, or is used no more."""
        self.n_built = self.n_applied = 0
        """Steps that were begun, and the last one of these that was carried out."""
        self._journal, self._holder, self._book, self._reservations = journal, holder, book, reservations
        self._clock, self._monotonic = clock, monotonic
        self._known, self._undeclared = known, undeclared
        self._consumed: list[int] = []
        self._seq = self._since = 0
        self._unsure: tuple[Batch, list[tuple[Account, Entry]]] | None = None
        self._step: asyncio.Task[None] | None = None
        self._ended = ""
        self._is_disk_refusing = False
        self._ticked_at = self._swept_at = monotonic()

    async def take(self) -> None:
        """Take one step, or wait for the one that is on its way. Never raises; `away` says what went wrong."""
        if self._step is None or self._step.done():
            self._step = asyncio.create_task(self._take_step())
        await asyncio.shield(self._step)

    async def end(self) -> None:
        """Give the leases back, and spend no more; what cannot be told now, a leader reads in the journal.

        A disk that takes nothing keeps nobody from telling: what is in memory is all, and on a disk that failed the end
        of the journal may be lost, so that a leader would take what is left of it for the whole.
        """
        if (self.away is not None and not self._is_disk_refusing) or self._unsure is not None:
            self._end("this worker has ended")
            self._journal.close(delete=False)  # a leader replays it
            return
        batch = final_batch(
            self._holder,
            self._seq + 1,
            self._now_s(),
            self._settled(),
            self._reservations.left(),
            self._reservations.forward,
            lose_rest=False,
        )
        try:
            if not self._is_disk_refusing:
                self._journal.report(batch)
            done = (await asyncio.to_thread(self.ledger.exchange, batch)).state == "applied"
        except UnavailableError as error:
            events.warning("budgets.ledger_away", error=str(error))
            done = False
        self._end("this worker has ended")
        self._journal.close(delete=done)

    def take_rules(self, book: RuleBook) -> None:
        """Go by rules as the ledger has them."""
        if self._book.take_rules(book) and self._known is not None:
            remember(self._known, book)

    async def _take_step(self) -> None:
        if self._ended:
            self.away = UnavailableError(self._ended)
            return
        try:
            if self._undeclared is not None:
                self.take_rules(await asyncio.to_thread(declare, self.ledger, self._undeclared))
                self._undeclared = None
            if self._unsure is None:
                self._unsure = self._build()
            batch, asked = self._unsure
            answer = await asyncio.to_thread(self.ledger.exchange, batch)
            if answer.state != "applied":
                self._end(_WHY_ENDED[answer.state])
                events.error("budgets.guard_ended", reason=self._ended)
                return
            self._unsure = None
            self._is_disk_refusing = False
            self._apply(batch, asked, answer)
            self.n_applied = self.n_built
            if answer.rules_version != self._book.version:
                self.take_rules(await asyncio.to_thread(self.ledger.rules))
            if self.away is not None:
                events.info("budgets.ledger_back")
            self.away = None
        except UnavailableError as error:
            if self.away is None:
                events.warning("budgets.ledger_away", error=str(error))
            self.away = error
        except Exception as error:  # noqa: BLE001 - whatever it is, it must refuse requests and not end the worker
            events.error("budgets.step_failed", error=repr(error))
            self.away = UnavailableError(f"the budgets of this worker failed ({error!r}): this is a fault, report it")

    def _build(self) -> tuple[Batch, list[tuple[Account, Entry]]]:
        """Return the next step; what it reports is written down, what it gives back is withheld."""
        if (today := self._clock.now()) >= self._book.rolls_at:
            self._book.roll(today)
        now = self._monotonic()
        lost = self._reservations.lapse(now)
        asked: list[tuple[Account, Entry]] = []
        for account in self._book.accounts.values():
            account.tick(now - self._ticked_at)
            entry = account.entry(now, current=self._book.windows[account.rule.period] == account.window)
            if entry is not None:
                asked.append((account, entry))
        self._ticked_at = now
        batch = Batch(
            self._holder,
            self._seq + 1,
            self._now_s(),
            tuple(entry for _, entry in asked),
            tuple(LostReservation(name, upper, charged.charges()) for name, upper, charged in lost),
            tuple(self._reservations.forward.items()),
            tuple(self._consumed),
            self._since,
        )
        self.n_built += 1
        if lost or any(entry.settled for entry in batch.entries):
            try:
                self._journal.report(batch)
            except UnavailableError:
                self._is_disk_refusing = True
                self._unbuild(lost)
                raise
            self._is_disk_refusing = False
        return batch, asked

    def _unbuild(self, lost: list[Lapsed]) -> None:
        """Take back a step that was not written down and so must not be sent."""
        self._reservations.take_back(lost)
        for account in self._book.accounts.values():
            account.release()

    def _apply(self, batch: Batch, asked: list[tuple[Account, Entry]], answer: Answer) -> None:
        now = self._monotonic()
        self._seq = batch.seq
        for (account, entry), balance in zip(asked, answer.balances, strict=True):
            account.apply(entry, balance, now)
            if balance.contended and account.available > account.needed:
                self.poked.set()  # somebody waits for what we do not use
        self._reservations.forwarded(batch.settlements)
        self._consumed = self._consumed[len(batch.consumed) :]
        self._since = answer.last
        for n, name, actual in answer.settlements:
            if self._reservations.settle(name, actual, told=True):
                self._consumed.append(n)
        if answer.clock_s:
            self._book.correct(answer.windows, answer.clock_s)
        else:
            self._book.adopt(answer.windows)
        if self._journal.size > _FOLD_BYTES:
            self._reservations.fold(self._settled())
        if now - self._swept_at > _SWEEP_S or len(self._book.charged) > _MAX_CACHED:
            self._swept_at = now
            self._book.forget_idle(now - _SWEEP_S)

    def _end(self, reason: str) -> None:
        """Stop spending."""
        self._ended = reason
        self.away = UnavailableError(reason)
        self._book.stop()

    def _settled(self) -> dict[Charge, int]:
        return {charge: account.settled for charge, account in self._book.accounts.items() if account.settled}

    def _now_s(self) -> float:
        return self._clock.now().timestamp()
