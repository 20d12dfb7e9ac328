"""`beast report costs` in this process."""

import json
from datetime import UTC, datetime

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from beast_ml.domain.money import nano_usd
from beast_ml.operations.budgets.ledger import Batch, Entry
from beast_ml.operations.budgets.rules import BudgetRule
from beast_ml.operations.budgets.sql_ledger import SqlLedger
from beast_ml.testing.costly_logs import costly_log, costly_rows

TOTAL = sum(nano_usd(row["cost_usd"] or 0.0) for row in costly_rows())


@pytest.fixture
def store(tmp_path):
    return costly_log(tmp_path / "data" / "logs")


def test_programs_get_exact_amounts_a_forecast_and_what_new_prices_come_to(beast, store) -> None:
    code, out, error = beast("report", "costs", "--by", "tenant,day", "--price", "large=1,2", "--json")
    assert code == 0, error
    told = json.loads(out)
    assert told["spending"]["total"]["cost_nano"] == TOTAL
    assert told["spending"]["total"]["repriced_nano"] < TOTAL
    assert sum(group["cost_nano"] for group in told["spending"]["groups"]) <= TOTAL
    assert told["forecast"]["low_usd"] <= told["forecast"]["expected_usd"] <= told["forecast"]["high_usd"]
    assert told["reconciliation"] is None


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_all_groups_are_exported(beast, store, tmp_path, ending) -> None:
    code, out, error = beast("report", "costs", "--by", "request", "--export", f"out/costs.{ending}", "--out", "out")
    assert code == 0, error
    assert "actual / predicted" in " ".join(out.split())
    read = pyarrow.csv.read_csv if ending == "csv" else pq.read_table
    table = read(tmp_path / "out" / f"costs.{ending}")
    assert (table.num_rows, sum(table["cost_nano"].to_pylist())) == (len(list(costly_rows())), TOTAL)
    assert (tmp_path / "out" / "costs.png").read_bytes().startswith(b"\x89PNG")


def test_the_ledger_in_the_state_folder_is_reconciled(beast, store, tmp_path) -> None:
    state = tmp_path / "data" / "serving"
    state.mkdir(parents=True)
    ledger = SqlLedger.open(f"sqlite:///{state / 'state.db'}")
    ledger.set_rules([BudgetRule(scope="global", limit_nano=2**50, period="month")])
    month = f"{datetime.now(UTC):%Y-%m}"
    ledger.exchange(Batch("w", 1, 0.0, (Entry("global:*:month", month, least=TOTAL, target=TOTAL),)))
    ledger.exchange(Batch("w", 2, 0.0, (Entry("global:*:month", month, settled=TOTAL),)))
    ledger.close()
    code, out, error = beast("report", "costs", "--by", "none", "--json")
    assert code == 0, error
    (account,) = json.loads(out)["reconciliation"]["accounts"]
    assert (account["settled_nano"], account["logged_nano"]) == (TOTAL, 0)  # the log is of another month


def test_one_tenant_is_told_nothing_of_the_other(beast, store) -> None:
    code, out, _ = beast("report", "costs", "--by", "user", "--tenant", "acme")
    assert code == 0
    assert "globex" not in out
    assert "acme/ann" in out


def test_an_empty_log_is_no_error(beast) -> None:
    code, out, _ = beast("report", "costs", "--store", "none")
    assert code == 0
    assert "No request was received" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--by", "colour"), "must be of request"),
        (("--export", "costs.xlsx"), ".csv or .parquet"),
        (("--price", "large"), "MODEL=IN,OUT"),
        (("--since", "yesterday"), "must be a time"),
        (("--price", "foo=1,2"), "answered by 'foo', so its price changes nothing; models that answered: large, small"),
        (("--tenant", "nobody"), "no request of the log is of tenant 'nobody'; it has acme, globex"),
    ],
)
def test_what_cannot_be_is_refused(beast, store, options, said) -> None:
    code, _, error = beast("report", "costs", *options)
    assert code == 2
    assert said in " ".join(error.split())


def test_a_cost_that_nobody_knows_is_a_dash(beast, tmp_path) -> None:
    costly_log(tmp_path / "data" / "logs", 2, change=lambda row: row.update(cost_usd=None))
    code, out, error = beast("report", "costs", "--by", "tenant")
    assert code == 0, error
    assert "cost nobody knows" in out
    assert "0.000000" not in out
