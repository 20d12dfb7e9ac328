# ruff: noqa: S101 - these are tests, which subclasses in tests/ run
"""Everything that can happen to a budget, in any order: a state machine for hypothesis. See `BudgetMachine`."""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, cast

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from beast_ml.errors import BudgetExceededError, UnavailableError
from beast_ml.operations.budgets.guard import BudgetGuard
from beast_ml.operations.budgets.ledger import AccountState, Charge, Ledger
from beast_ml.operations.budgets.recovery import recover
from beast_ml.operations.budgets.rules import BudgetRule
from beast_ml.testing.clock import FakeClock

__all__ = ["BudgetMachine", "FailingLedger"]

_LIMITS: Final = {"tenant": 1000, "global": 1500}
_RULES: Final = (
    BudgetRule(scope="tenant", limit_nano=_LIMITS["tenant"]),
    BudgetRule(scope="global", limit_nano=_LIMITS["global"], period="month"),
)
_N_WORKERS: Final = 3
_workers = st.integers(0, _N_WORKERS - 1)
_tenants = st.sampled_from(["acme", "other"])
_uppers = st.integers(0, 500)


class FailingLedger:
    """A ledger whose connection fails before or after a call is carried out, as long as it is told to.

    Parameters
    ----------
    ledger
        The one behind the connection.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.before = self.after = False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if self.before:
                raise UnavailableError("the ledger does not answer")
            answer = getattr(self._ledger, name)(*arguments, **named)
            if self.after:
                raise UnavailableError("the answer was lost")
            return answer

        return call


class BudgetMachine(RuleBasedStateMachine):
    """Workers reserve, settle, report, lose their connection, are killed, recovered, expire, and their clocks jump.

    A subclass makes the ledger in `make_ledger`. What is checked: no account is ever overspent, neither by the ledger's
    count nor by what the requests have really cost, and when all is over the ledger has every nano-dollar.
    """

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._state = Path(self._folder.name)
        self._ledger = self.make_ledger(self._state)
        self._connection = FailingLedger(self._ledger)
        self._clock = FakeClock()
        self._seconds = 0.0
        self._loop = asyncio.new_event_loop()
        self._guards = [self._guard() for _ in range(_N_WORKERS)]
        self._reserved: dict[str, tuple[int, tuple[Charge, ...]]] = {}
        self._told: dict[str, int] = {}

    def make_ledger(self, state: Path) -> Ledger:
        """Return an empty ledger; the folder is the machine's own."""
        raise NotImplementedError

    def states(self) -> list[AccountState]:
        """Return where accounts stand."""
        return self._ledger.accounts()

    @rule(worker=_workers, tenant=_tenants, upper=_uppers)
    def reserve(self, worker: int, tenant: str, upper: int) -> None:
        """Begin a request, or have it refused."""
        name, guard = f"r{len(self._reserved):04d}", self._guards[worker]
        try:
            self._run(guard.reserve(name, tenant, None, upper))
        except (BudgetExceededError, UnavailableError):
            return
        self._reserved[name] = upper, guard._reservations.open[name][1].charges()

    @rule(worker=_workers, which=st.integers(0, 1000), share=st.floats(0, 1))
    def settle(self, worker: int, which: int, share: float) -> None:
        """End a request, or tell its end again; to any worker."""
        if self._reserved:
            name = sorted(self._reserved)[which % len(self._reserved)]
            actual = self._told.setdefault(name, int(share * self._reserved[name][0]))
            self._guards[worker].settle(name, actual)

    @rule(worker=_workers)
    def beat(self, worker: int) -> None:
        """Let a worker report."""
        self._run(self._guards[worker].beat())

    @rule(worker=_workers, tenant=_tenants, upper=_uppers, before=st.booleans())
    def beat_in_vain(self, worker: int, tenant: str, upper: int, before: bool) -> None:
        """Let a worker spend, and report over a connection that fails; it does not know whether it was heard."""
        self.reserve(worker, tenant, upper)
        self.settle(worker, len(self._reserved) - 1, 1.0)
        self._connection.before, self._connection.after = before, not before
        self.beat(worker)
        self._connection.before = self._connection.after = False

    @rule(worker=_workers, tenant=_tenants, upper=_uppers)
    def reserve_meanwhile(self, worker: int, tenant: str, upper: int) -> None:
        """Let a request begin while the worker's report is on its way."""
        guard = self._guards[worker]

        async def both() -> None:
            step = asyncio.create_task(guard.beat())
            while guard._steps._step is None or (guard._steps._unsure is None and not guard._steps._step.done()):
                await asyncio.sleep(0)
            name = f"r{len(self._reserved):04d}"
            try:
                if guard.try_reserve(name, tenant, None, upper):
                    self._reserved[name] = upper, guard._reservations.open[name][1].charges()
            except BudgetExceededError:
                pass
            await step

        self._run(both())

    @rule(before=st.booleans(), after=st.booleans())
    def connection(self, before: bool, after: bool) -> None:
        """Let connections fail, or work again."""
        self._connection.before, self._connection.after = before, after

    @rule(worker=_workers)
    def kill(self, worker: int) -> None:
        """Kill a worker; another one starts."""
        self._guards[worker]._steps._journal.close(delete=False)  # its lock is free, as after the end of a process
        self._guards[worker] = self._guard()

    @rule(worker=_workers)
    def restart(self, worker: int) -> None:
        """End a worker in good order; another one starts."""
        self._run(self._guards[worker].close())
        self._guards[worker] = self._guard()

    @rule()
    def recover(self) -> None:
        """Look after the dead, as a leader does."""
        try:
            recover(self._state, cast("Ledger", self._connection), clock=self._clock)
        except UnavailableError:
            assert self._connection.before or self._connection.after

    @rule(seconds=st.sampled_from([1.0, 100.0, 1000.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass: leases and reservations expire."""
        self._clock.advance(seconds)
        self._seconds += seconds

    @rule(days=st.sampled_from([1, -1, -40]))
    def jump(self, days: int) -> None:
        """Let the clock jump."""
        self._clock.advance(days * 86_400.0)

    @invariant()
    def nothing_is_overspent(self) -> None:
        """Compare with the limits what the ledger counts, and what is true."""
        truth: defaultdict[Charge, int] = defaultdict(int)
        for name, (upper, charges) in self._reserved.items():
            for charge in charges:
                truth[charge] += self._told.get(name, upper)
        for (account, _), spent in truth.items():
            assert spent <= _LIMITS[account.split(":")[0]]
        for each in self.states():
            counted = each.settled + each.lost + each.leased
            assert truth[each.account, each.window] <= counted <= _LIMITS[each.account.split(":")[0]]
            assert min(each.settled, each.lost, each.leased, each.reserved) >= 0
            assert each.reserved <= each.leased

    def teardown(self) -> None:
        """Let all end in one way or the other, and count."""
        self._connection.before = self._connection.after = False
        for guard in self._guards[:2]:
            self._run(guard.close())
        self._guards[2]._steps._journal.close(delete=False)
        recover(self._state, self._ledger, clock=self._clock)
        self._run(self._loop.shutdown_default_executor())
        self._loop.close()
        settled: defaultdict[Charge, int] = defaultdict(int)
        lost: defaultdict[Charge, int] = defaultdict(int)
        for name, (upper, charges) in self._reserved.items():
            for charge in charges:
                settled[charge] += self._told.get(name, 0)
                lost[charge] += 0 if name in self._told else upper
        for each in self.states():
            charge = each.account, each.window
            assert (each.settled, each.lost) == (settled[charge], lost[charge])
            assert (each.leased, each.reserved) == (0, 0)
        self._ledger.close()
        self._folder.cleanup()

    def _guard(self) -> BudgetGuard:
        return BudgetGuard.open(
            cast("Ledger", self._connection),
            self._state,
            _RULES,
            clock=self._clock,
            monotonic=lambda: self._seconds,
            reservation_s=300.0,
            patience_s=0.0,
        )

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._loop.run_until_complete(work)
