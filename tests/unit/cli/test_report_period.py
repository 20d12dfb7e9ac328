"""`beast report week` and its kin in this process."""

import json
import shutil
from datetime import UTC, datetime

import pytest
from mlflow import MlflowClient

from beast_ml.testing.costly_logs import costly_log


@pytest.fixture
def mlflow_store(tmp_path, migrated_store):
    shutil.copyfile(migrated_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def test_a_week_is_written_and_kept_in_mlflow(beast, tmp_path, mlflow_store) -> None:
    costly_log(tmp_path / "data" / "logs", 14, 20)
    code, out, error = beast("report", "week", "--ending", "2026-03-15", "--no-judge", "--json")
    assert code == 0, error
    assert json.loads(out)["period"] == {"kind": "week", "first": "2026-03-09", "last": "2026-03-15"}
    folder = tmp_path / "beast-out" / "report-week-2026-03-15"
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.json", "report.md"]
    client = MlflowClient(mlflow_store)
    found = client.search_runs([each.experiment_id for each in client.search_experiments()], "tags.period = 'week'")
    assert len(found) == 1
    assert len(client.list_artifacts(found[0].info.run_id, "report")) == 3


@pytest.mark.parametrize("kind", ["month", "quarter", "year"])
def test_an_empty_period_is_no_error(beast, tmp_path, mlflow_store, kind) -> None:
    code, out, error = beast("report", kind, "--ending", "2026-03-15", "--no-judge", "--no-record", "--out", "r")
    assert code == 0, error
    assert "No request was received" in out
    assert "Nothing recorded" in (tmp_path / "r" / "report.md").read_text("utf-8")


@pytest.mark.parametrize("ending", ["yesterday", "2026-02-30", f"{datetime.now(UTC):%Y-%m-%d}", "2999-01-01"])
def test_a_day_that_is_none_or_not_over_is_refused(beast, ending) -> None:
    code, _, error = beast("report", "week", "--ending", ending)
    assert code == 2
    assert "--ending" in error
