import asyncio
from pathlib import Path

import pytest

from beast_ml.errors import UnavailableError
from beast_ml.operations.budgets import BudgetGuard, BudgetRule, open_ledger
from beast_ml.testing.ledger_conformance import state_of
from beast_ml.testing.valkey import valkey_server


def test_an_outage_refuses_what_is_not_leased_and_loses_nothing(tmp_path: Path) -> None:
    asyncio.run(outage(tmp_path))


async def outage(tmp_path: Path) -> None:
    server = valkey_server(data_dir=tmp_path / "valkey", persist=True, appendonly="yes", appendfsync="always")
    server.start()
    ledger = open_ledger(None, server.connection_url, tmp_path)
    guard = BudgetGuard.open(ledger, tmp_path, [BudgetRule(scope="tenant", limit_nano=10_000)], beat_s=0.1)
    await guard.start()
    await guard.reserve("r0", "acme", None, 100)
    port = server.port
    server.stop()
    assert guard.try_reserve("r1", "acme", None, 100)  # leased before
    guard.settle("r0", 60)
    with pytest.raises(UnavailableError, match="does not answer"):
        await guard.reserve("r2", "acme", None, 5_000)
    again = valkey_server(port=port, data_dir=tmp_path / "valkey", persist=True, appendonly="yes", appendfsync="always")
    again.start()
    await guard.reserve("r2", "acme", None, 5_000)
    guard.settle("r1", 100)
    guard.settle("r2", 5_000)
    await guard.close()
    state = state_of(ledger)
    assert (state.settled, state.lost, state.leased) == (5_160, 0, 0)
    ledger.close()
    again.stop()
