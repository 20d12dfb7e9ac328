import json
from datetime import UTC, datetime, timedelta

import pytest

from beast_ml.logs.ingest import ingest
from beast_ml.logs.store import LogStore
from beast_ml.testing.log_rows import routed_request, write_json_lines


@pytest.fixture
def logged(tmp_path):
    """Store requests of the last hours, one of which failed."""
    at = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    rows = [routed_request(request_id=f"r{i}", received_at=at, feedback_at=None) for i in range(3)]
    nothing = {"served_model": None, "cost_usd": None, "output_tokens": None, "quality": None, "quality_source": None}
    rows.append(rows[0] | {"request_id": "bad", "status": "error", "error_kind": "provider", "attempts": []} | nothing)
    found = ingest(
        [write_json_lines(tmp_path / "l.jsonl", rows)], LogStore(tmp_path / "store"), tmp_path / "quarantine"
    )
    assert found.n_accepted == 4


def test_a_share_and_all_failures_become_traces_once(beast, logged, tmp_path, migrated_store):
    (tmp_path / "mlflow.yaml").write_text(f"tracking: {{uri: 'sqlite:///{tmp_path}/m.db'}}\nlogs: {{store: store}}\n")
    (tmp_path / "m.db").write_bytes(migrated_store.read_bytes())
    asked = ("logs", "trace", "--share", "0", "--failed", "--json")
    assert json.loads(beast(*asked)[1]) == {"sampled": 1, "written": 1}
    assert json.loads(beast(*asked)[1]) == {"sampled": 1, "written": 0}
    assert "3 traces written, 1 were there" in beast("logs", "trace", "--share", "1")[1]


def test_a_share_is_a_share(beast):
    code, _, err = beast("logs", "trace", "--share", "7")
    assert code == 2
    assert "`--share` == 7, must be in 0..1" in err
