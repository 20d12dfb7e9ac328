import asyncio

import pytest

from beast_ml.operations.budgets.rules import BudgetRule
from beast_ml.operations.budgets.sql_ledger import SqlLedger
from beast_ml.testing.clock import FakeClock
from beast_ml.testing.region_machine import Region


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def home(tmp_path, clock):
    ledger = SqlLedger.open(f"sqlite:///{tmp_path / 'home.db'}", clock)
    ledger.set_rules([BudgetRule(scope="tenant", limit_nano=10_000)])
    yield ledger
    ledger.close()


@pytest.fixture
def make_region(tmp_path, home, clock):
    made, seconds = [], [0.0]

    def make(name):
        made.append(Region(name, tmp_path, home, clock, seconds))
        return made[-1]

    yield make
    for each in made:
        asyncio.run(each.guard.close())
        each.ledger.store.close()
