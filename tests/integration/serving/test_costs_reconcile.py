"""Chats go through a real gateway under budgets; its log and its ledger then say the same, to the nano-dollar."""

import openai
import pytest

from beast_ml.domain.money import nano_usd
from beast_ml.logs.compaction import compact
from beast_ml.logs.store import LogStore
from beast_ml.operations.budgets.open_ledger import open_ledger
from beast_ml.operations.budgets.rules import BudgetRule
from beast_ml.operations.costs.reconciliation import reconcile
from beast_ml.testing.gateway_fixtures import MODELS

RULES = tuple(
    BudgetRule(scope=scope, limit_nano=10**12, period=period)
    for scope in ("global", "tenant", "user")
    for period in ("day", "month")
)


@pytest.fixture
def reconciled(serve, tmp_path):
    """Return a function that stops the gateway, and gives its log beside its ledger."""
    gateway = serve(budgets=RULES)

    def end():
        gateway.stop()
        store = LogStore(tmp_path / "logs")
        compact(gateway.state / "segments", store, tmp_path / "quarantine")
        ledger = open_ledger(None, None, gateway.state)
        accounts = ledger.accounts(ended=True)
        ledger.close()
        return store.requests().to_pylist(), reconcile(store, accounts)

    return gateway, end


def ask(gateway, n, **more):
    client = gateway.client()
    for i in range(n):
        said = [{"role": "user", "content": f"What is {i} times {i}?"}]
        client.chat.completions.create(model=("beast", *MODELS)[i % 4], messages=said, user=f"u{i % 3}", **more)


def test_what_was_answered_agrees_in_every_account(reconciled):
    gateway, end = reconciled
    ask(gateway, 12)
    rows, found = end()
    assert len(found.accounts) >= 4
    assert {each.agreement for each in found.accounts} == {"agrees"}, found.sentence()
    total = next(each for each in found.accounts if each.account == "global:*:day")
    assert total.settled_nano == total.logged_nano == sum(nano_usd(row["cost_usd"]) for row in rows) > 0
    assert total.n_requests == 12


def test_what_failed_is_more_in_the_ledger_and_told_so(reconciled, provider):
    gateway, end = reconciled
    ask(gateway, 2)
    provider.fail("drop")  # in the middle of an answer, which may have to be paid for
    with pytest.raises(openai.APIError):
        ask(gateway, 1)
    _, found = end()
    total = next(each for each in found.accounts if each.account == "global:*:day")
    assert (total.agreement, total.n_uncertain) == ("ledger holds more", 1)
    assert total.difference_nano > 0
    assert {each.agreement for each in found.accounts} <= {"agrees", "ledger holds more"}, found.sentence()
    assert "keeps their upper amounts" in found.sentence()
