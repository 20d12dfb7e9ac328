# ruff: noqa: S101 - these are tests, which subclasses in tests/ run
"""Everything that can happen to a budget over several regions, in any order: a state machine for hypothesis."""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, cast

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from beast_ml.errors import BudgetExceededError, UnavailableError
from beast_ml.operations.budgets.guard import BudgetGuard
from beast_ml.operations.budgets.ledger import AccountState, Charge, Ledger
from beast_ml.operations.budgets.recovery import recover
from beast_ml.operations.budgets.region_ledger import RegionLedger
from beast_ml.operations.budgets.region_rows import ShareRow, shares
from beast_ml.operations.budgets.region_steps import RegionSteps
from beast_ml.operations.budgets.rules import BudgetRule
from beast_ml.operations.budgets.sql_ledger import SqlLedger
from beast_ml.testing.budget_machine import FailingLedger
from beast_ml.testing.clock import FakeClock

__all__ = ["Region", "RegionMachine"]

_LIMITS: Final = {"tenant": 1000, "global": 1500}
_RULES: Final = (
    BudgetRule(scope="tenant", limit_nano=_LIMITS["tenant"]),
    BudgetRule(scope="global", limit_nano=_LIMITS["global"], period="month"),
)
LIFE_S: Final = 600.0
"""Seconds that a region lives without its home."""

_regions = st.integers(0, 1)
_tenants = st.sampled_from(["acme", "other"])
_uppers = st.integers(0, 500)


class Region:
    """A region with one worker and the process that talks with the home.

    Parameters
    ----------
    name
        Of the region.
    folder
        For its state.
    home
        Its ledger.
    clock
        Of the region; it need not agree with others.
    monotonic
        Seconds that only grow.
    """

    def __init__(self, name: str, folder: Path, home: Ledger, clock: FakeClock, seconds: list[float]) -> None:
        self.name, self.state, self.clock, self._seconds = name, folder / name, clock, seconds
        self.state.mkdir()
        self._home, self.link = home, FailingLedger(home)
        self.ledger = RegionLedger.open_at(f"sqlite:///{self.state / 'state.db'}", cast("Ledger", self.link), clock)
        self.steps = self.begin_steps()
        self.guard = self.begin_guard()

    def begin_steps(self) -> RegionSteps:
        """Return the process that talks with the home, as it is when it starts."""
        return RegionSteps(self.ledger, self.name, life_s=LIFE_S, monotonic=lambda: self._seconds[0])

    def begin_guard(self) -> BudgetGuard:
        """Return a worker's guard, as it is when it starts."""
        return BudgetGuard.open(
            self.ledger,
            self.state,
            _RULES,
            clock=self.clock,
            monotonic=lambda: self._seconds[0],
            reservation_s=300.0,
            patience_s=0.0,
        )

    def pass_time(self, seconds: float) -> None:
        """Let time pass, for all regions, though their clocks stand still."""
        self._seconds[0] += seconds

    def move(self, home: Ledger) -> None:
        """Let its link lead to another ledger."""
        self._home = self.link._ledger = home

    def held(self) -> dict[Charge, tuple[ShareRow, AccountState]]:
        """Return its shares, and where its own accounts stand; one that it leased ahead for has no account yet."""
        states = {(each.account, each.window): each for each in self.ledger.accounts(ended=True)}
        lent = {(each.account, each.window) for each in self._home.accounts(ended=True)}
        with self.ledger.store.writing() as stored:
            held = shares(stored, states.keys() | lent)
        return {
            charge: (share, states.get(charge, AccountState(*charge, 0, 0, 0, 0))) for charge, share in held.items()
        }


class RegionMachine(RuleBasedStateMachine):
    """Two regions reserve, settle, talk with a home that forgets all, die, and go by clocks that disagree.

    What is checked: over both regions no account is ever overspent, by what requests have really cost; the home counts
    at least that, and no more than the limit; and no region's workers hold more than its share. The last two do not
    hold from when the home has lost its state until both regions have told it what they know.
    """

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        self._home_clock = FakeClock()
        self._n_homes, self._untold, self._may_count_more = 0, set[str](), False
        self._home = self._new_home()
        self._seconds = [0.0]
        self._loop = asyncio.new_event_loop()
        self._regions = [Region(name, folder, self._home, FakeClock(), self._seconds) for name in ("us", "ap")]
        self._reserved: dict[str, tuple[int, int, tuple[Charge, ...]]] = {}
        self._told: dict[str, int] = {}
        for each in (*self._regions, self._regions[0]):
            each.steps.step()  # the home knows of both, and they of each other

    def make_home(self, folder: Path) -> Ledger:
        """Return an empty ledger for the home; the folder is its own."""
        return SqlLedger.open(f"sqlite:///{folder / 'home.db'}", self._home_clock)

    @rule()
    def lose_home(self) -> None:
        """Let the home forget all."""
        self._home.close()
        self._home = self._new_home()
        for each in self._regions:
            each.move(self._home)
        self._untold = {each.name for each in self._regions}

    @rule(region=_regions, tenant=_tenants, upper=_uppers)
    def lose_home_and_reserve(self, region: int, tenant: str, upper: int) -> None:
        """Let the home forget what a region holds and goes on to use, while another one asks for as much as it gets."""
        self.reserve_with_help(region, tenant, upper)
        self.lose_home()
        for _ in range(3):
            self.reserve_with_help(1 - region, tenant, 400)
            self.reserve(region, tenant, upper)

    @rule(region=_regions, tenant=_tenants, upper=_uppers)
    def reserve(self, region: int, tenant: str, upper: int) -> None:
        """Begin a request in a region, or have it refused."""
        name, guard = f"r{len(self._reserved):04d}", self._regions[region].guard
        try:
            self._run(guard.reserve(name, tenant, None, upper))
        except (BudgetExceededError, UnavailableError):
            return
        self._reserved[name] = region, upper, guard._reservations.open[name][1].charges()

    @rule(region=_regions, tenant=_tenants, upper=_uppers)
    def reserve_with_help(self, region: int, tenant: str, upper: int) -> None:
        """Begin a request for which the region asks the home."""
        self.reserve(region, tenant, upper)
        self.step(region)
        self._regions[region].pass_time(1.0)  # a refusal is kept to for half a second
        self.reserve(region, tenant, upper)

    @rule(which=st.integers(0, 1000), share=st.floats(0, 1))
    def settle(self, which: int, share: float) -> None:
        """End a request, or tell its end again, in its region."""
        if self._reserved:
            name = sorted(self._reserved)[which % len(self._reserved)]
            region, upper, _ = self._reserved[name]
            self._regions[region].guard.settle(name, self._told.setdefault(name, int(share * upper)))

    @rule(region=_regions)
    def beat(self, region: int) -> None:
        """Let a worker report to its region's ledger."""
        self._run(self._regions[region].guard.beat())

    @rule(region=_regions)
    def step(self, region: int) -> None:
        """Let a region talk with the home."""
        each = self._regions[region]
        try:
            each.steps.step()
        except UnavailableError:
            assert each.link.before or each.link.after
        else:
            self._untold.discard(each.name)

    @rule(region=_regions, before=st.booleans(), after=st.booleans())
    def link(self, region: int, before: bool, after: bool) -> None:
        """Cut a region's link before or after the home has heard, or mend it."""
        self._regions[region].link.before, self._regions[region].link.after = before, after

    @rule(region=_regions)
    def kill_worker(self, region: int) -> None:
        """Kill a region's worker; another one starts."""
        self._may_count_more = True  # what is lost, and then settled for less
        each = self._regions[region]
        each.guard._steps._journal.close(delete=False)
        each.guard = each.begin_guard()

    @rule(region=_regions)
    def kill_steps(self, region: int) -> None:
        """Kill the process that talks with the home; another one starts."""
        self._regions[region].steps = self._regions[region].begin_steps()

    @rule(region=_regions)
    def recover(self, region: int) -> None:
        """Look after a region's dead workers."""
        recover(self._regions[region].state, self._regions[region].ledger, clock=self._regions[region].clock)

    @rule()
    def expire_at_home(self) -> None:
        """Let the home count leases of silent regions as lost."""
        if self._home.expire(self._home_clock.now().timestamp(), 60.0):
            self._may_count_more = True  # what a silent region held, and gives back

    @rule(seconds=st.sampled_from([1.0, 100.0, 1000.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass, everywhere."""
        self._may_count_more = True  # reservations lapse, and are settled for less
        self._seconds[0] += seconds
        for clock in (self._home_clock, *(each.clock for each in self._regions)):
            clock.advance(seconds)

    @rule(region=_regions, seconds=st.sampled_from([-5000.0, -3.0, 3.0, 5000.0, 86_400.0]))
    def skew(self, region: int, seconds: float) -> None:
        """Let a region's clock jump, alone."""
        self._regions[region].clock.advance(seconds)

    @invariant()
    def nothing_is_overspent(self) -> None:
        """Compare with the limits what is true, what the home counts, and what regions may spend."""
        truth: defaultdict[Charge, int] = defaultdict(int)
        for name, (_, upper, charges) in self._reserved.items():
            for charge in charges:
                truth[charge] += self._told.get(name, upper)
        counted = {(each.account, each.window): each for each in self._home.accounts(ended=True)}
        for charge, spent in truth.items():
            assert spent <= _LIMITS[charge[0].split(":")[0]]
            home = counted.get(charge)
            assert self._untold or spent <= (0 if home is None else home.settled + home.lost + home.leased)
        for (account, _), home in counted.items():
            if self._n_homes == 1 or not self._may_count_more:
                assert home.settled + home.lost + home.leased <= _LIMITS[account.split(":")[0]]
            assert min(home.settled, home.lost, home.leased, home.reserved) >= 0
        for region in self._regions:
            if region.name in self._untold:
                continue
            for share, state in region.held().values():
                assert state.settled + state.lost + state.leased <= share.allowed

    def teardown(self) -> None:
        """Let all end, and count: the home knows of every nano-dollar."""
        for each in self._regions:
            each.link.before = each.link.after = False
            self._run(each.guard.close())
            recover(each.state, each.ledger, clock=each.clock)
            each.steps.step()
            each.steps.step()
        told: defaultdict[Charge, list[int]] = defaultdict(lambda: [0, 0, 0])
        for each in self._regions:
            for charge, (share, state) in each.held().items():
                assert (share.settled, share.lost) == (state.settled, state.lost)
                told[charge] = [
                    a + b for a, b in zip(told[charge], (state.settled, state.lost, share.lease), strict=True)
                ]
        assert not self._home.awaited()
        for home in self._home.accounts(ended=self._n_homes == 1):  # what is over is not told to another home again
            settled, lost, leased = told[home.account, home.window]
            assert home.settled + home.lost >= settled + lost
            if self._n_homes == 1 or not self._may_count_more:
                assert [home.settled, home.lost, home.leased] == [settled, lost, leased]
        for each in self._regions:
            each.ledger.store.close()
        self._home.close()
        self._run(self._loop.shutdown_default_executor())
        self._loop.close()
        self._folder.cleanup()

    def _new_home(self) -> Ledger:
        self._n_homes += 1
        folder = Path(self._folder.name) / f"home{self._n_homes}"
        folder.mkdir()
        home = self.make_home(folder)
        home.set_rules(_RULES)
        return home

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._loop.run_until_complete(work)
