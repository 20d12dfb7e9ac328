"""The Valkey that the budgets of several regions are at home in is flushed: what was spent stays spent, once."""

import asyncio
import json
from contextlib import closing
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from typer.testing import CliRunner, Result

from beast_ml.cli import ledger_accounts
from beast_ml.cli.main import app
from beast_ml.errors import BudgetExceededError, InputError, UnavailableError
from beast_ml.operations.budgets import BudgetGuard, BudgetRule
from beast_ml.operations.budgets.ledger import Batch, Ledger
from beast_ml.operations.budgets.open_ledger import BudgetHome, open_ledger
from beast_ml.operations.budgets.recovery import recover
from beast_ml.operations.budgets.region_ledger import RegionLedger
from beast_ml.operations.budgets.region_steps import RegionSteps
from beast_ml.testing.ledger_conformance import ACCOUNT
from beast_ml.testing.region_machine import RegionMachine

LIMIT = 500_000
UPPER = 1_000
RULES = [BudgetRule(scope="tenant", limit_nano=LIMIT)]


class Place:
    """A worker of a region, and where it is not at home, what talks with the home for it."""

    def __init__(self, name: str, folder: Path, url: str, database_url: str | None = None) -> None:
        self.name, self.state, self.n_granted = name, folder / name, 0
        self.ledger = open_ledger(database_url, None, self.state, BudgetHome(url, is_here=name == "eu"))
        self.steps = RegionSteps(self.ledger, name, life_s=60.0) if isinstance(self.ledger, RegionLedger) else None
        self.begin()

    def begin(self) -> None:
        self.guard = BudgetGuard.open(self.ledger, self.state, RULES, patience_s=0.0)

    async def step(self) -> None:
        await self.guard.beat()
        if self.steps is not None:
            await asyncio.to_thread(self.steps.step)
            await self.guard.beat()

    async def spend(self, n: int) -> None:
        for _ in range(n):
            name = f"{self.name}{self.n_granted}"
            try:
                await self.guard.reserve(name, "acme", None, UPPER)
            except BudgetExceededError:
                await self.step()
                await asyncio.sleep(0.55)  # a refusal is kept to for half a second
                try:
                    await self.guard.reserve(name, "acme", None, UPPER)
                except BudgetExceededError:
                    break
            self.guard.settle(name, UPPER)
            self.n_granted += 1
        await self.step()


def test_what_was_spent_stays_spent_when_the_home_is_flushed(
    valkey_url: str, postgres_url: str, tmp_path: Path
) -> None:
    async def run() -> None:
        with redis.Redis.from_url(valkey_url) as client:
            client.flushdb()
            eu, us, ap = (
                Place(name, tmp_path, valkey_url, database_url)
                for name, database_url in (("eu", None), ("us", postgres_url), ("ap", None))
            )
            places = (eu, us, ap)
            for place in (*places, us):
                await place.step()  # they know of each other
            for place, n in ((eu, 120), (us, 90), (ap, 60), (us, 1)):
                await place.spend(n)
            client.flushdb()
        await us.step()
        assert eu.ledger.awaited() == ("ap",)
        await eu.guard.beat()
        with pytest.raises(UnavailableError, match="lost or restored its state"):
            await eu.guard.reserve("refused", "acme", None, UPPER)
        await eu.guard.close()
        recover(eu.state, eu.ledger)
        eu.begin()
        await ap.step()
        assert eu.ledger.awaited() == ()
        (account,) = eu.ledger.accounts(ended=True)
        assert account.settled + account.lost == UPPER * (120 + 90 + 60 + 1)
        assert us.ledger.rules().rules == tuple(RULES)
        for _ in range(3):
            for place in places:
                await place.spend(LIMIT // UPPER)
        n_granted = sum(place.n_granted for place in places)
        assert LIMIT // UPPER - 5 <= n_granted <= LIMIT // UPPER  # somebody may hold the rest
        for place in places:
            await place.guard.close()
            if place.steps is not None:
                await asyncio.to_thread(place.steps.step)
        (account,) = eu.ledger.accounts()
        assert (account.account, account.settled) == (ACCOUNT, UPPER * n_granted)
        for place in places:
            place.ledger.close()

    asyncio.run(run())


def test_an_operator_sees_whom_the_home_waits_for_and_goes_without(
    valkey_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ledger_accounts, "budget_home", lambda _: BudgetHome(valkey_url, is_here=True))
    with redis.Redis.from_url(valkey_url) as client:
        client.flushdb()
    with closing(open_ledger(None, valkey_url, tmp_path)) as home:
        home.exchange(Batch("us.1", 1, 0.0, region="us", others=("ap", "sa")))

    def beast(*arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments])

    assert beast("budgets", "awaited").output == "waits for ap, sa\n"
    assert beast("budgets", "go-without", "ap").output == "the budgets' home goes without ap; it waits for sa still\n"
    assert json.loads(beast("budgets", "go-without", "sa", "--json").output) == {"region": "sa", "awaited": []}
    assert "waits for no region" in beast("budgets", "awaited").stderr
    assert json.loads(beast("budgets", "awaited", "--json").output) == {"awaited": []}
    with pytest.raises(InputError, match="do not wait for the region 'us', but for none"):
        CliRunner().invoke(app, ["budgets", "go-without", "us"], catch_exceptions=False)
    monkeypatch.setattr(ledger_accounts, "budget_home", lambda _: None)
    with pytest.raises(InputError, match="there is no `home_region`"):
        CliRunner().invoke(app, ["budgets", "awaited"], catch_exceptions=False)


@pytest.mark.slow
def test_no_order_of_events_overspends_over_regions_whose_home_is_a_valkey(valkey_url: str) -> None:
    class Machine(RegionMachine):
        def make_home(self, folder: Path) -> Ledger:
            with redis.Redis.from_url(valkey_url) as client:
                client.flushdb()
            return open_ledger(None, valkey_url, folder)

    few = settings(max_examples=4, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    run_state_machine_as_test(Machine, settings=few)
