from datetime import timedelta

import pytest

from beast_ml.domain.money import nano_usd
from beast_ml.operations.budgets.ledger import AccountState, Batch, Entry
from beast_ml.operations.budgets.rules import BudgetRule, account_names, window_of
from beast_ml.operations.budgets.sql_ledger import SqlLedger
from beast_ml.operations.costs.reconciliation import reconcile
from beast_ml.testing.clock import FakeClock
from beast_ml.testing.costly_logs import COSTLY_START, costly_log, costly_rows


def booked(rows) -> dict[tuple[str, str], int]:
    sums: dict[tuple[str, str], int] = {}
    for row in rows:
        for account in account_names(row["tenant_id"], row["user_id"]):
            window = window_of(account.rpartition(":")[2], row["received_at"])
            sums[account, window] = sums.get((account, window), 0) + nano_usd(row["cost_usd"] or 0.0)
    return sums


def test_a_ledger_that_booked_what_was_logged_agrees_in_every_account(tmp_path) -> None:
    store = costly_log(tmp_path / "logs", 3)
    ledger = SqlLedger.open(f"sqlite:///{tmp_path / 'state.db'}", FakeClock(COSTLY_START + timedelta(days=2)))
    ledger.set_rules(
        [
            BudgetRule(scope=scope, limit_nano=2**40, period=period)
            for scope in ("global", "tenant", "user")
            for period in ("day", "month")
        ]
    )
    sums = booked(costly_rows(3))
    at_s = COSTLY_START.timestamp()
    ledger.exchange(Batch("w", 1, at_s, tuple(Entry(a, w, least=n, target=n) for (a, w), n in sorted(sums.items()))))
    ledger.exchange(Batch("w", 2, at_s, tuple(Entry(a, w, settled=n) for (a, w), n in sorted(sums.items()))))
    found = reconcile(store, ledger.accounts(ended=True))
    ledger.close()
    assert len(found.accounts) == len(sums)
    assert {each.agreement for each in found.accounts} == {"agrees"}
    assert {(each.account, each.window): each.logged_nano for each in found.accounts} == sums
    assert f"{len(sums)} of {len(sums)} accounts agree to the nano-dollar." == found.sentence()


@pytest.fixture
def account() -> tuple[AccountState, int]:
    sums = booked(costly_rows(1, 200))
    logged = sums["tenant:acme:day", "2026-03-02"]
    return AccountState("tenant:acme:day", "2026-03-02", logged, 0, 0, 0), logged


def test_one_nano_dollar_less_is_a_difference(tmp_path, account) -> None:
    state, logged = account
    store = costly_log(tmp_path / "logs", 1, 200)
    (found,) = reconcile(store, [AccountState(state.account, state.window, logged - 1, 0, 0, 0)]).accounts
    assert (found.difference_nano, found.agreement) == (-1, "differs")


def test_more_in_the_ledger_is_put_down_to_requests_that_ended_badly(tmp_path, account) -> None:
    state, logged = account
    more = AccountState(state.account, state.window, logged + 5, 3, 0, 0)
    found = reconcile(costly_log(tmp_path / "logs", 1, 200), [more])
    rows = [row for row in costly_rows(1, 200) if row["tenant_id"] == "acme" and row["cache_result"] == "miss"]
    assert found.accounts[0].n_uncertain == sum(row["cost_usd"] is None for row in rows) > 0
    assert (found.accounts[0].difference_nano, found.accounts[0].agreement) == (8, "ledger holds more")
    assert "keeps their upper amounts" in found.sentence()


def test_more_in_the_ledger_without_such_requests_is_a_difference(tmp_path, account) -> None:
    def all_well(row) -> None:
        row |= {"status": "ok", "cost_usd": 0.001, "attempts": [], "served_model": "small", "error_kind": None}

    store = costly_log(tmp_path / "logs", 1, 200, change=all_well)
    n = sum(row["tenant_id"] == "acme" for row in costly_rows(1, 200))
    state = AccountState("tenant:acme:day", "2026-03-02", n * 1_000_000 + 1, 0, 0, 0)
    assert reconcile(store, [state]).accounts[0].agreement == "differs"


def test_a_window_without_requests_and_a_ledger_without_accounts(tmp_path) -> None:
    store = costly_log(tmp_path / "logs", 1, 200)
    state = AccountState("tenant:acme:day", "2026-04-01", 7, 0, 0, 0)
    (found,) = reconcile(store, [state]).accounts
    assert (found.n_requests, found.difference_nano, found.agreement) == (0, 7, "differs")
    assert "nothing to reconcile" in reconcile(store, []).sentence()
