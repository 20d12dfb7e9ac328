"""What one worker has reserved and not settled yet, in memory and in its journal."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from beast_ml.errors import UnavailableError
from beast_ml.events import events
from beast_ml.operations.budgets.account_book import Charged
from beast_ml.operations.budgets.journal import Journal
from beast_ml.operations.budgets.ledger import Charge, LostReservation

__all__ = ["Lapsed", "Reservations"]

_MAX_FORWARDED: Final = 100_000
_MAX_FORWARDED_NANO: Final = 2**53
"""What every ledger counts exactly; of what is forwarded, no more than was reserved counts anyway."""
_MAX_TOLD: Final = 16_384
_NEVER: Final = float("-inf")

Lapsed = tuple[str, int, Charged]
"""A reservation that nobody settled in time: its name, its upper amount, who pays."""


class Reservations:
    """Keeps them, and passes on what is told of those that other workers keep.

    Parameters
    ----------
    journal
        Of this worker.
    """

    def __init__(self, journal: Journal) -> None:
        self.open: OrderedDict[str, tuple[int, Charged, float]] = OrderedDict()
        """By name: upper amount, who pays, and when it lapses; those that lapse first come first."""
        self.forward: dict[str, int] = {}
        """What is told of reservations that are not here, until the ledger has it."""
        self._told: OrderedDict[str, None] = OrderedDict()
        self._journal = journal

    def add(self, name: str, upper: int, charged: Charged, lapses_at: float) -> None:
        """Write one down.

        Raises
        ------
        UnavailableError
            If the journal cannot be written.
        """
        journal = self._journal
        if charged.file != journal.number:
            journal.name_charges(charged.n, charged.charges())
            charged.file = journal.number
        journal.reserve(name, upper, charged.n)
        self.open[name] = (upper, charged, lapses_at)

    def settle(self, name: str, actual: int, *, told: bool) -> bool:
        """Replace one by what it cost, ``told`` ones at most by what was reserved; return whether it stood here."""
        found = self.open.pop(name, None)
        if found is None:
            return False
        upper, charged, _ = found
        if told:
            actual = min(actual, upper)
        self._write_down(self._journal.settle, name, actual)
        for account in charged.accounts:
            account.settle(upper, actual)
        self._told[name] = None
        if len(self._told) > _MAX_TOLD:
            self._told.popitem(last=False)
        return True

    def settle_elsewhere(self, name: str, actual: int) -> None:
        """Have the ledger tell whoever keeps it, once."""
        actual = min(actual, _MAX_FORWARDED_NANO)
        if name not in self._told and name not in self.forward and len(self.forward) < _MAX_FORWARDED:
            self._write_down(self._journal.forward, name, actual)
            self.forward[name] = actual

    def forwarded(self, settlements: tuple[tuple[str, int], ...]) -> None:
        """Take note that the ledger has these."""
        for name, actual in settlements:
            if self.forward.get(name) == actual:
                del self.forward[name]

    def lapse(self, now: float) -> list[Lapsed]:
        """Count those that nobody settled in time as lost, and return them."""
        lost: list[Lapsed] = []
        for name, (upper, charged, lapses_at) in self.open.items():
            if lapses_at > now:
                break  # all later ones lapse later
            lost.append((name, upper, charged))
        for name, upper, charged in lost:
            del self.open[name]
            for account in charged.accounts:
                account.lose(upper)
        return lost

    def take_back(self, lost: list[Lapsed]) -> None:
        """Undo `lapse`, so that the next one finds them again."""
        for name, upper, charged in reversed(lost):
            self.open[name] = (upper, charged, _NEVER)
            self.open.move_to_end(name, last=False)
            for account in charged.accounts:
                account.lose(-upper)

    def left(self) -> list[LostReservation]:
        """Return what is open as the ledger is to remember it."""
        return [LostReservation(name, upper, each.charges()) for name, (upper, each, _) in self.open.items()]

    def fold(self, settled: Mapping[Charge, int]) -> None:
        """Begin the journal anew with what is still true; where the disk refuses, it goes on as it is."""
        charged = {each.n: each for _, each, _ in self.open.values()}
        try:
            self._journal.fold(
                settled,
                {n: each.charges() for n, each in charged.items()},
                [(name, upper, each.n) for name, (upper, each, _) in self.open.items()],
                self.forward,
            )
        except UnavailableError as error:
            events.warning("budgets.journal_not_folded", error=str(error))
            return
        for each in charged.values():
            each.file = self._journal.number

    def _write_down(self, write: Callable[[str, int], None], name: str, actual: int) -> None:
        """Journal what is true in any case; where the disk refuses, a kill would count the upper amount instead."""
        try:
            write(name, actual)
        except UnavailableError as error:
            events.error("budgets.journal_refused", error=str(error))
