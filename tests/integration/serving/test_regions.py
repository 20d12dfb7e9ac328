import time

import httpx2
import pytest

from beast_ml.operations.budgets.ledger import AccountState
from beast_ml.operations.budgets.open_ledger import BudgetHome
from beast_ml.operations.budgets.rules import BudgetRule
from beast_ml.operations.budgets.valkey_ledger import ValkeyLedger
from beast_ml.operations.health import RegionDistances
from beast_ml.testing.gateway_fixtures import ASK
from beast_ml.testing.valkey import valkey_server


def test_a_gateway_keeps_to_a_budget_that_is_at_home_in_another_region(serve):
    with valkey_server() as home:
        ledger = ValkeyLedger.open(home.connection_url)
        ledger.set_rules([BudgetRule.from_usd("tenant", 10.0)])
        gateway = serve(home=BudgetHome(home.connection_url, is_here=False), distances=RegionDistances("eu"))
        client = gateway.client()

        def ask():
            return client.chat.completions.create(model="beast", messages=ASK, max_tokens=10)

        for _ in range(3):
            ask()
        (account,) = when_settled(ledger)
        assert 0 < account.settled < 10**10
        metrics = httpx2.get(gateway.url.replace("/v1", "/metrics")).text
        assert 'beast_region_answers_total{region="eu"} 3.0' in metrics
        assert "beast_region_home_up 1.0" in metrics
        assert f'beast_region_held_usd{{budget="{account.account}"}}' in metrics
        ledger.close()
        home.stop()
        ask()  # out of what the region holds
        home.start()
        assert [row["region"] for row in gateway.rows()] == ["eu"] * 4
        gateway.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # of a server that does not start
def test_a_region_that_never_heard_of_the_homes_budgets_does_not_start(serve, capfd):
    away = BudgetHome("redis://127.0.0.1:9", is_here=False)
    own = (BudgetRule.from_usd("tenant", 10.0, key="acme"),)  # whom it does not name would have no bound
    with pytest.raises(RuntimeError, match="does not start"):
        serve(home=away, distances=RegionDistances("eu"), budgets=own)
    assert "the budget ledger in Valkey does not answer" in capfd.readouterr().err


def when_settled(ledger: ValkeyLedger) -> list[AccountState]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        accounts = ledger.accounts()
        if accounts and accounts[0].settled and not accounts[0].reserved:
            return accounts
        time.sleep(0.1)
    raise AssertionError(f"nothing was settled at home: {ledger.accounts()}")
