"""The name of a ledger: the same where hosts share it."""

from pathlib import Path

import pytest

from beast_ml.operations.budgets.open_ledger import BudgetHome, ledger_name

STATE = Path("/var/lib/beast")


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (("postgresql://a:b@db:5432/beast", None), ("postgresql://c@db:5432/beast?sslmode=require", "redis://x:6379")),
        (("postgresql+psycopg://db/beast", None), ("postgresql://db/beast", None)),
        ((None, "redis://:p@ss@cache:6379/0"), (None, "redis://cache:6379/0")),
    ],
)
def test_hosts_with_one_database_have_one_name_whoever_they_log_in_as(one, two):
    assert ledger_name(*one, STATE, host="a") == ledger_name(*two, STATE, host="b")


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (("postgresql://db/beast", None), ("postgresql://db/other", None)),
        (("postgresql://db/beast", None), ("postgresql://db2/beast", None)),
        (("postgresql://localhost:5432/beast", None), ("postgresql://localhost:5432/beast", None)),
        (("postgresql:///beast?host=/run/pg", None), ("postgresql:///beast?host=/run/pg", None)),
        (("sqlite:////srv/state.db", None), ("sqlite:////srv/state.db", None)),
        ((None, "unix:///run/valkey.sock"), (None, "unix:///run/valkey.sock")),
        ((None, None), (None, None)),
    ],
)
def test_what_each_host_has_for_itself_has_a_name_of_its_own(one, two):
    assert ledger_name(*one, STATE, host="a") != ledger_name(*two, STATE, host="b")


def test_servers_of_one_machine_share_their_state_folder_only():
    assert ledger_name(None, None, STATE) == ledger_name(None, None, STATE / "x" / "..")
    assert ledger_name(None, None, STATE) != ledger_name(None, None, STATE / "x")


def test_all_regions_of_one_home_share_its_limits_whatever_each_keeps_beside():
    home, away = (BudgetHome("redis://:p@home:6379", is_here) for is_here in (True, False))
    names = {
        ledger_name("postgresql://eu/beast", None, STATE, home, "a"),
        ledger_name("postgresql://us/beast", "redis://us:6379", STATE, away, "b"),
        ledger_name(None, None, STATE, away, "c"),
    }
    assert len(names) == 1
    assert names != {ledger_name(None, None, STATE, BudgetHome("redis://other:6379", is_here=False), "c")}


def test_no_address_and_no_password_is_told():
    name = ledger_name("postgresql://me:secret@db.internal/beast", None, STATE)
    assert name.startswith("postgresql:")
    assert not any(word in name for word in ("secret", "internal", "beast", "me"))
