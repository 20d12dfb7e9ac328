import sqlite3
from pathlib import Path

from hypothesis import HealthCheck, settings

from beast_ml.operations.budgets.ledger import AccountState, Ledger
from beast_ml.operations.budgets.open_ledger import open_ledger
from beast_ml.testing.budget_machine import BudgetMachine


class SqliteBudgetMachine(BudgetMachine):
    def make_ledger(self, state: Path) -> Ledger:
        self._database = state / "state.db"
        return open_ledger(None, None, state)

    def states(self) -> list[AccountState]:
        """Of all windows, also those that have ended."""
        connection = sqlite3.connect(self._database)
        try:
            rows = connection.execute("SELECT account, window, settled, lost, leased, reserved FROM budget_accounts")
            return [AccountState(*row) for row in rows]
        finally:
            connection.close()


class TestZeroOverruns(SqliteBudgetMachine.TestCase):
    settings = settings(
        max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
