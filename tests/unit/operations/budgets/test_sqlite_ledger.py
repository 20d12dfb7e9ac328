import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from beast_ml.errors import InputError, UnavailableError
from beast_ml.operations.budgets.ledger import Batch, Entry, Ledger
from beast_ml.operations.budgets.open_ledger import open_ledger
from beast_ml.operations.budgets.rules import BudgetRule
from beast_ml.operations.budgets.sql_ledger import SqlLedger
from beast_ml.testing.clock import FakeClock
from beast_ml.testing.home_conformance import HomeConformance
from beast_ml.testing.ledger_conformance import ACCOUNT, DAY, LedgerConformance


class TestSqliteLedger(LedgerConformance, HomeConformance):
    @pytest.fixture
    def ledger(self, tmp_path: Path) -> Iterator[Ledger]:
        ledger = open_ledger(None, None, tmp_path / "state")
        yield ledger
        ledger.close()

    def test_windows_that_a_wrong_clock_has_opened_are_closed_again(self, tmp_path: Path) -> None:
        clock = FakeClock(datetime(2027, 1, 1, tzinfo=UTC))
        ledger = SqlLedger.open(f"sqlite:///{tmp_path / 'state.db'}", clock)
        ledger.set_rules([BudgetRule(scope="tenant", limit_nano=1000)])
        ahead = (Entry(ACCOUNT, "2027-01-02", least=1, target=1),)
        assert ledger.exchange(Batch("b", 1, 0.0, ahead)).windows[0] == "2027-01-02"
        clock.advance(-400 * 86_400.0)
        now = (Entry(ACCOUNT, DAY, least=1, target=1),)
        assert ledger.exchange(Batch("a", 1, 0.0, now)).windows[0] == f"{clock.now():%Y-%m-%d}"
        late = ledger.exchange(Batch("b", 2, 0.0, ahead))
        assert late.windows[0] == f"{clock.now():%Y-%m-%d}"
        assert late.clock_s == clock.now().timestamp()
        ledger.close()

    def test_what_nobody_can_ask_for_any_more_is_forgotten(self, tmp_path: Path) -> None:
        ledger = SqlLedger.open(f"sqlite:///{tmp_path / 'old.db'}", FakeClock(datetime(2027, 5, 1, tzinfo=UTC)))
        day_s = 86_400.0
        ledger.exchange(Batch("a", 1, day_s, (Entry(ACCOUNT, DAY, least=50, target=50),)))
        self.finish(ledger, "a", 2, settled=0, lost=[("r1", 30)])
        ledger.exchange(Batch("b", 1, day_s, (), settlements=(("r9", 5),)))
        ledger.exchange(Batch("b", 2, 200 * day_s, (Entry(ACCOUNT, "2027-05-01", least=1, target=1),)))
        ledger.expire(200 * day_s, 60.0)
        late = ledger.exchange(
            Batch("b", 3, 200 * day_s, (Entry(ACCOUNT, DAY, least=1, target=1),), settlements=(("r1", 1),))
        )
        assert (late.balances[0].lost, late.balances[0].settled) == (0, 0)
        assert late.balances[0].lease == 0  # forgotten is not open again
        assert [name for _, name, _ in late.settlements] == ["r1"]  # r9 is gone, r1 is not lost any more
        assert ledger.applied("a") == 0
        ledger.close()

    def test_tables_of_another_version_are_refused(self, tmp_path: Path) -> None:
        first = open_ledger(None, None, tmp_path)
        first.rules()
        first.close()
        with closing(sqlite3.connect(tmp_path / "state.db")) as connection:
            connection.execute("UPDATE budget_meta SET value = '0' WHERE name = 'schema_version'")
            connection.commit()
        second = open_ledger(None, None, tmp_path)
        with pytest.raises(InputError, match="version 0"):
            second.rules()
        second.close()

    def test_a_folder_that_is_gone_is_unavailable(self, tmp_path: Path) -> None:
        ledger = open_ledger(None, None, tmp_path / "state")
        shutil.rmtree(tmp_path / "state")
        with pytest.raises(UnavailableError, match="lock"):
            ledger.rules()
        ledger.close()
