"""Two regions, each with servers of its own, and a link between them that is long, and then cut."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from beast_ml.benchmarks.chaos.tcp_proxy import TcpProxy
from beast_ml.errors import BudgetExceededError, UnavailableError
from beast_ml.operations.budgets import BudgetGuard, BudgetRule
from beast_ml.operations.budgets.open_ledger import BudgetHome, open_ledger
from beast_ml.operations.budgets.region_ledger import RegionLedger
from beast_ml.operations.budgets.region_steps import RegionSteps
from beast_ml.testing.ledger_conformance import ACCOUNT
from beast_ml.testing.network_namespace import network_namespace, valkey_inside, why_not_permitted
from beast_ml.testing.valkey import valkey_server

LIMIT = 500_000
UPPER = 1_000
ROUND_TRIP_S = 0.08


class Spender:
    """Requests of one worker, as fast as it gets them, until one is refused."""

    def __init__(self, guard: BudgetGuard, name: str) -> None:
        self.guard, self.name, self.n_granted, self.n_refused = guard, name, 0, 0
        self.n_leased_ahead = 0

    async def spend(self, n: int) -> None:
        for i in range(n):
            name = f"{self.name}.{self.n_granted}.{self.n_refused}.{i}"
            try:
                if self.guard.try_reserve(name, "acme", None, UPPER):
                    self.n_leased_ahead += 1
                else:
                    await self.guard.reserve(name, "acme", None, UPPER)
            except (BudgetExceededError, UnavailableError):
                self.n_refused += 1
                return
            self.guard.settle(name, UPPER)
            self.n_granted += 1
            await asyncio.sleep(0.005)


async def two_regions(
    tmp_path: Path,
    near_home: str,
    far_home: str,
    cut: Callable[[], None],
    mend: Callable[[], None],
    database_url: str | None = None,
) -> None:
    """Spend in both regions over a link that works, is cut, and works again; no more than the limit is spent."""
    eu_ledger = open_ledger(None, None, tmp_path / "eu", BudgetHome(near_home, is_here=True))
    us_ledger = open_ledger(database_url, None, tmp_path / "us", BudgetHome(far_home, is_here=False))
    assert isinstance(us_ledger, RegionLedger)
    eu_guard = BudgetGuard.open(
        eu_ledger, tmp_path / "eu", [BudgetRule(scope="tenant", limit_nano=LIMIT)], patience_s=0.5
    )
    us_guard = await asyncio.to_thread(BudgetGuard.open, us_ledger, tmp_path / "us", None, patience_s=5.0)
    steps = RegionSteps(us_ledger, "us", life_s=60.0)
    running = asyncio.create_task(steps.run())
    await eu_guard.start()
    await us_guard.start()
    eu, us = Spender(eu_guard, "eu"), Spender(us_guard, "us")

    await asyncio.gather(eu.spend(60), us.spend(60))
    assert (eu.n_granted, us.n_granted) == (60, 60)
    assert us.n_leased_ahead >= 30  # after the first ones nobody waits for the link

    cut()
    us_guard._patience_s = 0.2
    await asyncio.gather(eu.spend(30), us.spend(5))
    assert (eu.n_granted, us.n_granted) == (90, 65)  # the home goes on, and so does the region, with what it holds, ...
    await us.spend(LIMIT // UPPER)
    await eu.spend(LIMIT // UPPER)
    assert (us.n_refused, eu.n_refused) == (1, 1)  # ... until that is used up
    assert UPPER * (eu.n_granted + us.n_granted) <= LIMIT

    mend()
    await eu_guard.close()
    while (await asyncio.to_thread(steps.figures)).away:
        await asyncio.sleep(0.1)
    await us_guard.close()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await asyncio.to_thread(steps.step)
    (account,) = [each for each in eu_ledger.accounts() if each.account == ACCOUNT]
    assert account.settled == UPPER * (eu.n_granted + us.n_granted)
    assert account.settled + account.lost + account.leased <= LIMIT
    us_ledger.close()
    eu_ledger.close()


def test_regions_never_overspend_over_a_link_that_is_long_and_then_cut(postgres_url: str, tmp_path: Path) -> None:
    with valkey_server() as home, TcpProxy(("127.0.0.1", home.port)) as link:
        near, far = f"redis://127.0.0.1:{home.port}", f"redis://127.0.0.1:{link.port}"

        def mend() -> None:
            link.set("slow", ROUND_TRIP_S / 2)

        mend()
        asyncio.run(two_regions(tmp_path, near, far, lambda: link.set("stalled"), mend, postgres_url))


@pytest.mark.parametrize("delayed_by", ["netem", "proxy"])
def test_regions_never_overspend_when_packets_between_network_namespaces_vanish(
    delayed_by: str, tmp_path: Path
) -> None:
    if (why_not := why_not_permitted()) is not None:
        pytest.skip(why_not)
    with ExitStack() as stack:
        home = stack.enter_context(network_namespace(2))
        near, far = home.links
        if delayed_by == "netem" and (why_not := far.why_no_delay(round(1e3 * ROUND_TRIP_S))) is not None:
            pytest.skip(why_not)
        port = stack.enter_context(valkey_inside(home, tmp_path))
        far_url = f"redis://{far.address}:{port}"
        if delayed_by == "proxy":
            link = stack.enter_context(TcpProxy((far.address, port)))
            link.set("slow", ROUND_TRIP_S / 2)
            far_url = f"redis://127.0.0.1:{link.port}"
        asyncio.run(two_regions(tmp_path, f"redis://{near.address}:{port}", far_url, far.cut, far.mend))
