"""How a region talks with the budgets' home: it reports what was spent, leases ahead of need, and gives back."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from beast_ml.errors import UnavailableError
from beast_ml.events import events
from beast_ml.operations.budgets.booking import AccountRow
from beast_ml.operations.budgets.ledger import Answer, Batch, Charge, Claim, Entry
from beast_ml.operations.budgets.region_account import RegionAccount
from beast_ml.operations.budgets.region_figures import RegionFigures
from beast_ml.operations.budgets.region_ledger import RegionLedger
from beast_ml.operations.budgets.region_rows import (
    RegionState,
    ShareRow,
    any_wanted,
    changed_shares,
    claims_after,
    forget_holder,
    lead,
    region_state,
    set_region_state,
    shares,
    shares_at_work,
    store_shares,
    take_heard,
)
from beast_ml.operations.budgets.rules import BudgetRule, rules_by_name, rules_of_account, windows_at
from beast_ml.operations.budgets.sql_rows import LedgerRows

__all__ = ["RegionSteps"]

_BEAT_S: Final = 1.0
_ANSWER_S: Final = 2.0
_LOOK_S: Final = 0.1
"""Seconds after which workers' lack of money is noticed at the latest."""

_LEAD_S: Final = 3.0
"""Seconds of silence after which another process talks with the home."""

_FIGURES_S: Final = 10.0
"""Seconds after which a process that does not talk with the home reads anew what is held."""

_CLAIMS: Final = 500
"""So many accounts a home that has lost its state is told of at once."""

_NO_RULE: Final = BudgetRule(scope="global", limit_nano=0)

Windows = tuple[str, str]
"""A day and a month."""

Held = dict[Charge, tuple[ShareRow, AccountRow]]
"""Shares, and the region's own accounts beside them."""


class RegionSteps:
    """Takes steps on the home's ledger for a region. Several processes may, even at once: each step counts once.

    A step is written down in the region's ledger before it is sent, and what it gives back is withheld from then on.
    One of which nobody knows whether it arrived is sent again as it was, by whichever process comes next. Of processes
    that `run`, on one host or several, one does it, and the next one when that was silent for some seconds. It keeps
    the shares that are at work in memory, and reads what others have changed.

    A home that does not know the region has lost its state, or the region has: it is told first what is known here, of
    every account what this region has spent and what it heard of the others, and lends nothing before.

    Parameters
    ----------
    ledger
        The region's, which knows the home's.
    region
        The region's name.
    life_s
        Seconds without an answer of the home after which the region spends no more.
    monotonic
        Seconds that only grow.
    told
        Is called with how the region stands after each step, and after each one that failed.
    """

    def __init__(
        self,
        ledger: RegionLedger,
        region: str,
        *,
        life_s: float,
        monotonic: Callable[[], float] = time.monotonic,
        told: Callable[[RegionFigures], None] = lambda _: None,
    ) -> None:
        self._ledger, self._region, self._life_s = ledger, region, life_s
        self._monotonic, self._told = monotonic, told
        self._accounts: dict[Charge, RegionAccount] = {}
        self._windows: Windows = ("", "")
        self._ticked_at = monotonic()
        self._asked: list[tuple[RegionAccount, Entry]] = []
        self._held: Held = {}
        self._known: tuple[str, int] | None = None  # the holder and its last step, after which `_held` is right
        self._built: Batch | None = None
        self._shown: dict[str, int] = {}
        self._shown_at = float("-inf")
        self._name, self._is_leading = uuid.uuid4().hex, False

    async def run(self) -> None:
        """Take steps until cancelled: one a second, and at once when workers lack money that the home may have.

        While another process does, only look how the region stands.
        """
        is_away = False
        while True:
            next_at, is_done = self._monotonic() + _BEAT_S, False
            try:
                if await asyncio.to_thread(self._leads):
                    await self._step_in_time()
                    is_away, is_done = False, True
            except UnavailableError as error:
                if not is_away:
                    events.warning("region.home_away", error=str(error))
                is_away = True
            except Exception as error:  # noqa: BLE001  the next step may go well; if none does, the leases end
                events.error("region.step_failed", error=repr(error))
            try:
                self._told(await asyncio.to_thread(self.figures))
                while self._monotonic() < next_at and not (is_done and await asyncio.to_thread(self._is_wanted)):
                    await asyncio.sleep(_LOOK_S)
            except UnavailableError:  # the region's own ledger: its workers say so
                await asyncio.sleep(_BEAT_S)

    async def _step_in_time(self) -> None:
        """Take a step; while it takes long, what the region does not hold is refused rather than waited for."""
        step = asyncio.create_task(asyncio.to_thread(self.step))
        try:
            if not (await asyncio.wait({step}, timeout=_ANSWER_S))[0]:
                await asyncio.to_thread(self._note_away)
            await step
        finally:
            step.cancel()  # where this was: nobody else waits for it

    def step(self) -> None:
        """Take one step, or repeat the one of which nobody knows; first tell a home that knows nothing. Blocks.

        Raises
        ------
        UnavailableError
            If the home, or the region's own ledger, does not answer.
        """
        while not self._take():
            pass

    def figures(self) -> RegionFigures:
        """Return how the region stands. Blocks."""
        now = self._monotonic()
        with self._ledger.store.writing() as stored:
            state, clock_s = region_state(stored), self._ledger.clock_s(stored)
            windows = _running(stored, clock_s)
            if self._known is not None and self._known == (state.holder, state.seq):
                held, self._shown_at = self._held, now
            elif now - self._shown_at < _FIGURES_S:
                held = None
            else:
                held, self._shown_at = shares_at_work(stored, windows), now
        if held is not None:
            self._shown = {
                account: share.allowed - row.settled - row.lost
                for (account, window), (share, row) in held.items()
                if window in windows
            }
        return RegionFigures(
            state.away,
            max(clock_s - state.heard_at, 0.0) if state.heard_at else 0.0,
            max(state.lives_until - clock_s, 0.0),
            self._shown,
        )

    def _take(self) -> bool:
        """Take one step; return whether there is nothing more to be told at once."""
        batch = self._build()
        try:
            answer = self._ledger.home.exchange(batch)
        except UnavailableError:
            self._note_away()
            raise
        if answer.state != "applied":
            return not self._begin_anew(batch, answer.state)
        state = self._apply(batch, answer)
        if answer.rules_version != state.rules_version or state.declared is None:
            self._ledger.copy_rules()
        return state.claimed is None

    def _leads(self) -> bool:
        """Return whether this process is the one that talks with the home."""
        with self._ledger.store.writing() as stored:
            leads = lead(stored, self._name, self._ledger.clock_s(stored), _LEAD_S)
        if leads and not self._is_leading:
            events.info("region.leading", region=self._region)
        self._is_leading = leads
        return leads

    def _note_away(self) -> None:
        with self._ledger.store.writing() as stored:
            set_region_state(stored, msgspec.structs.replace(region_state(stored), away=True))

    def _is_wanted(self) -> bool:
        with self._ledger.store.writing() as stored:
            return any_wanted(stored)

    def _build(self) -> Batch:
        """Return the step to send, written down: the one that is under way, or a new one."""
        with self._ledger.store.writing() as stored:
            state = region_state(stored)
            if state.pending is not None:
                return state.pending
            clock_s = self._ledger.clock_s(stored)
            asked: tuple[Entry, ...] = ()
            claims: list[Claim] = []
            if state.claimed is None:
                asked = self._ask(stored, state, _running(stored, clock_s))
            else:
                claims = claims_after(stored, state, state.claimed, self._region, _CLAIMS)
            batch = Batch(
                state.holder or f"{self._region}.{uuid.uuid4().hex[:8]}",
                state.seq + 1,
                clock_s,
                asked,
                life_s=self._life_s,
                region=self._region,
                claims=tuple(claims),
                claims_more=len(claims) == _CLAIMS,
                others=() if state.claimed is None else state.regions,
                windows=("", "") if state.claimed is None else state.windows,
            )
            set_region_state(stored, msgspec.structs.replace(state, holder=batch.holder, pending=batch))
        self._built = batch
        return batch

    def _ask(self, stored: LedgerRows, state: RegionState, windows: Windows) -> tuple[Entry, ...]:
        """Return what to tell and ask of each account; what it gives back is withheld from now."""
        now = self._monotonic()
        rules = rules_by_name(stored.rules().rules)
        changed = changed_shares(stored)
        if windows == self._windows and self._known == (state.holder, state.seq):
            self._held |= changed
        else:
            self._known, self._held = None, shares_at_work(stored, windows)
        self._enter(windows, rules, self._held)
        written: dict[Charge, ShareRow] = {}
        self._asked = []
        for charge, (share, row) in list(self._held.items()):
            account, current = self._account(charge, rules), charge[1] in windows
            account.look(row, share, now)
            account.tick(now - self._ticked_at)
            entry = account.entry(now, current=current)
            if entry is not None:
                share.withheld = max(account.lease - account.settled - account.lost - entry.target, 0)
                self._asked.append((account, entry))
            elif account.holds_nothing() and not (current and now - account.touched_at < account.idle_s):
                del self._held[charge], self._accounts[charge]  # it is read again when it changes
            if entry is not None or share.wanted:
                share.wanted = 0
                written[charge] = share
        self._ticked_at = now
        store_shares(stored, written)
        return tuple(entry for _, entry in self._asked)

    def _apply(self, batch: Batch, answer: Answer) -> RegionState:
        """Take the home's answer over, unless another process has; return how the region stood when it came."""
        with self._ledger.store.writing() as stored:
            state = region_state(stored)
            if state.pending != batch:
                self._known = None
                return state
            held = _claimed(stored, batch) if state.claimed is not None else _lent(stored, batch, answer)
            store_shares(stored, held)
            last = batch.claims[-1] if batch.claims_more else None
            heard = RegionState(
                batch.holder,
                batch.seq,
                None,
                batch.now_s + self._life_s,
                batch.now_s,
                away=False,
                rules_version=state.rules_version,
                regions=answer.regions,
                awaited=answer.awaited,
                windows=answer.windows,
                claimed=None if last is None else (last.account, last.window),
                declared=state.declared,
            )
            set_region_state(stored, heard)
        if state.claimed is not None:
            events.warning("region.home_told", holder=batch.holder, accounts=len(batch.claims))
        if answer.awaited and answer.awaited != state.awaited:
            events.error("region.home_waits", regions=answer.awaited)
        is_own = self._built == batch and state.claimed is None  # else another process has asked
        self._known = (batch.holder, batch.seq) if is_own else None
        if is_own:
            for charge, share in held.items():
                self._held[charge] = share, self._held[charge][1] if charge in self._held else AccountRow()
            for (account, entry), balance in zip(self._asked, answer.balances, strict=True):
                account.apply(entry, balance, self._monotonic())
        self._asked = []
        return state

    def _begin_anew(self, batch: Batch, state: str) -> bool:
        """Become another holder: the home does not know this one's leases, so nothing is held until it lends again.

        Return whether that is to be told at once: another process may have had an answer.
        """
        with self._ledger.store.writing() as stored:
            if region_state(stored).pending != batch:
                return False
            forget_holder(stored)
        self._accounts.clear()
        self._known = None
        events.error("region.begins_anew", holder=batch.holder, home_says=state)
        return True

    def _enter(
        self,
        windows: Windows,
        rules: Mapping[str, BudgetRule],
        held: Held,
    ) -> None:
        """Hold in windows that have begun what was used in those before: the first request is not to wait for it."""
        if windows == self._windows:
            return
        followed = dict(zip(self._windows, windows, strict=True))
        for (name, window), account in list(self._accounts.items()):
            charge = name, followed.get(window, window)
            if charge not in self._accounts and _rule(name, rules) is not None:
                self._accounts[charge] = account.renewed(charge[1])
                held.setdefault(charge, (ShareRow(), AccountRow()))
        self._accounts = {charge: account for charge, account in self._accounts.items() if charge in held}
        self._windows = windows

    def _account(self, charge: Charge, rules: Mapping[str, BudgetRule]) -> RegionAccount:
        rule, account = _rule(charge[0], rules) or _NO_RULE, self._accounts.get(charge)
        if account is None:
            account = self._accounts[charge] = RegionAccount(*charge, rule)
        elif rule != account.rule:
            account.set_rule(rule)
        return account


def _lent(stored: LedgerRows, batch: Batch, answer: Answer) -> dict[Charge, ShareRow]:
    """Return the shares after a step, and keep what the home says who has spent."""
    charges = [(entry.account, entry.window) for entry in batch.entries]
    held = shares(stored, set(charges))
    for charge, entry, balance in zip(charges, batch.entries, answer.balances, strict=True):
        share = held.setdefault(charge, ShareRow())
        share.settled += entry.settled
        share.lost += entry.lost
        share.lease, share.withheld = balance.lease, 0
        share.spent_elsewhere = max(balance.settled + balance.lost - share.settled - share.lost, 0)
        share.leased_elsewhere = max(balance.leased - balance.lease, 0)
        share.reserved_elsewhere = max(balance.reserved - entry.open, 0)
    if batch.region:  # one that an earlier release began has none
        take_heard(stored, dict(zip(charges, answer.spent, strict=True)))
    return held


def _claimed(stored: LedgerRows, batch: Batch) -> dict[Charge, ShareRow]:
    """Return the shares after the home was told what is known here."""
    held = shares(stored, {(claim.account, claim.window) for claim in batch.claims})
    for claim in batch.claims:
        share = held.setdefault((claim.account, claim.window), ShareRow())
        share.settled, share.lost = claim.settled, claim.lost
        share.lease, share.withheld = claim.lease, 0
    return held


def _rule(account: str, rules: Mapping[str, BudgetRule]) -> BudgetRule | None:
    return next((rules[name] for name in rules_of_account(account) if name in rules), None)


def _running(stored: LedgerRows, clock_s: float) -> Windows:
    """Return the day and the month that run: the ledger's latest, or the clock's, which may be the first to come to."""
    meta, (day, month) = stored.meta(), windows_at(clock_s)
    return max(meta.get("day", ""), day), max(meta.get("month", ""), month)
