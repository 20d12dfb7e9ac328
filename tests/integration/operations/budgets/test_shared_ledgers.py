from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from beast_ml.errors import InputError, UnavailableError
from beast_ml.operations.budgets.ledger import Ledger
from beast_ml.operations.budgets.open_ledger import open_ledger
from beast_ml.operations.budgets.rules import BudgetRule
from beast_ml.testing.home_conformance import HomeConformance
from beast_ml.testing.ledger_conformance import LedgerConformance


class TestPostgresLedger(LedgerConformance, HomeConformance):
    @pytest.fixture
    def ledger(self, postgres_url: str, tmp_path: Path) -> Iterator[Ledger]:
        ledger = open_ledger(postgres_url, None, tmp_path)
        yield ledger
        ledger.close()


class TestValkeyLedger(LedgerConformance, HomeConformance):
    @pytest.fixture
    def ledger(self, valkey_url: str, tmp_path: Path) -> Iterator[Ledger]:
        with redis.Redis.from_url(valkey_url) as client:
            client.flushdb()
        ledger = open_ledger(None, valkey_url, tmp_path)
        yield ledger
        ledger.close()

    def test_a_limit_beyond_what_lua_counts_exactly_is_refused(self, ledger: Ledger) -> None:
        with pytest.raises(InputError, match="PostgreSQL"):
            ledger.set_rules([BudgetRule(scope="global", limit_nano=2**53)])


@pytest.mark.parametrize(
    ("database_url", "redis_url"), [("postgresql://nobody@127.0.0.1:1/none", None), (None, "redis://127.0.0.1:1")]
)
def test_a_store_that_is_away_says_so_at_the_first_call(
    database_url: str | None, redis_url: str | None, tmp_path: Path
) -> None:
    ledger = open_ledger(database_url, redis_url, tmp_path)
    with pytest.raises(UnavailableError, match="does not answer"):
        ledger.rules()
    ledger.close()


@pytest.mark.parametrize(
    ("database_url", "redis_url"), [("nonsense", None), ("mysql://host/db", None), (None, "nonsense")]
)
def test_a_malformed_address_is_refused(database_url: str | None, redis_url: str | None, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="_url"):
        open_ledger(database_url, redis_url, tmp_path)
