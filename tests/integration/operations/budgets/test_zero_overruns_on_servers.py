from pathlib import Path
from typing import Final

import pytest
import redis
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from beast_ml.operations.budgets.ledger import Ledger
from beast_ml.operations.budgets.open_ledger import open_ledger
from beast_ml.testing.budget_machine import BudgetMachine

QUICK: Final = settings(
    max_examples=10, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.mark.slow
def test_no_order_of_events_overspends_on_valkey(valkey_url: str) -> None:
    class Machine(BudgetMachine):
        def make_ledger(self, state: Path) -> Ledger:
            with redis.Redis.from_url(valkey_url) as client:
                client.flushdb()
            return open_ledger(None, valkey_url, state)

    run_state_machine_as_test(Machine, settings=QUICK)


@pytest.mark.slow
def test_no_order_of_events_overspends_on_postgresql(postgres_url: str) -> None:
    class Machine(BudgetMachine):
        def make_ledger(self, state: Path) -> Ledger:
            engine = sa.create_engine(sa.make_url(postgres_url).set(drivername="postgresql+psycopg"))
            with engine.begin() as connection:
                connection.execute(sa.text("DROP SCHEMA public CASCADE"))
                connection.execute(sa.text("CREATE SCHEMA public"))
            engine.dispose()
            return open_ledger(postgres_url, None, state)

    run_state_machine_as_test(Machine, settings=QUICK)
