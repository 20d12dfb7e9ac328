from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from beast_ml.errors import NotEnoughDataError
from beast_ml.logs.ingest import ingest
from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.logs.store import LogStore
from beast_ml.testing.log_rows import cached_request, routed_request, write_json_lines

ROWS = [
    routed_request(request_id="b", served_model="backup", cost_usd=0.5, tenant_id="other", quality=None),
    routed_request(request_id="a", app="editor"),
    routed_request(request_id="c", status="timeout", served_model=None, quality=None, latency_s=None, context=None),
    routed_request(
        request_id="d",
        propensity=None,
        policy_version="external:x",
        candidates=["small"],
        context={"task": "maths", "app": "chat"},
    ),
    routed_request(request_id="withheld", prompt=None),
    cached_request(),
]


def logged(tmp_path: Path) -> LoggedOutcomes:
    store = LogStore(tmp_path / "store")
    ingest([write_json_lines(tmp_path / "log.jsonl", ROWS)], store, tmp_path / "quarantine")
    return store.logged_outcomes()


def test_one_cell_a_row_is_observed_that_of_the_model_that_answered(tmp_path: Path) -> None:
    data = logged(tmp_path)
    assert data.matrix.models == ("backup", "large", "small")
    assert data.matrix.query_ids.tolist() == ["a", "b", "c", "d"]
    assert data.matrix.tasks.tolist() == ["maths", "maths", "", "maths"]
    assert data.matrix.apps.tolist() == ["editor", "", "", "chat"]
    np.testing.assert_array_equal(
        data.matrix.cost_usd,
        [[np.nan, np.nan, 0.001], [0.5, np.nan, np.nan], [np.nan] * 3, [np.nan, np.nan, 0.001]],
    )
    np.testing.assert_array_equal(np.isfinite(data.matrix.quality).sum(axis=1), [1, 0, 0, 1])
    assert np.isnan(data.matrix.quality[:, 1]).all()


def test_choice_propensity_and_failure_are_told_apart(tmp_path: Path) -> None:
    data = logged(tmp_path)
    assert data.chosen.tolist() == [2, 2, 2, 2]
    assert data.served.tolist() == [2, 0, -1, 2]
    assert data.failed.tolist() == [False, True, True, False]
    assert np.isfinite(data.failures()).sum(axis=1).tolist() == [1, 1, 1, 1]
    assert np.nansum(data.failures(), axis=1).tolist() == [0, 1, 1, 0]
    np.testing.assert_array_equal(data.propensity, [0.25, 0.25, 0.25, np.nan])
    cancelled = replace(data, status=np.array(["ok", "ok", "cancelled", "ok"]))
    assert cancelled.failed.tolist() == [False, True, False, False]  # nobody waited for the third
    assert np.isfinite(cancelled.failures()).sum(axis=1).tolist() == [1, 1, 0, 1]
    assert data.candidates.tolist() == [[False, True, True]] * 3 + [[False, False, True]]
    assert data.status.tolist() == ["ok", "ok", "timeout", "ok"]
    assert data.tenant == ("acme", "other", "acme", "acme")
    assert data.context[0] == {"task": "maths", "turns": "2"}
    assert data.context[2] == {}
    assert data.received_at.dtype == np.dtype("datetime64[us]")
    assert str(data.received_at[0]) == "2026-03-01T10:00:00.000000"


def test_what_cannot_be_learnt_from_is_left_out_and_counted(tmp_path: Path) -> None:
    assert logged(tmp_path).n_left_out == 2


def test_a_log_without_choices_or_prompts_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(NotEnoughDataError, match="none of 0 requests"):
        LogStore(tmp_path).logged_outcomes()


def test_an_answer_is_there_when_all_attempts_have_ended(tmp_path: Path) -> None:
    def attempts(*seconds: float | None) -> list[dict[str, object]]:
        return [{"model": "small", "status": "error", "error_kind": None, "latency_s": s} for s in seconds]

    changes = [
        {"attempts": attempts(30.0, 0.25), "latency_s": 0.25},
        {"attempts": attempts(None), "latency_s": 2.0},
        {"attempts": None, "latency_s": 3.0},
        {"attempts": attempts(None, 0.25), "latency_s": 0.25},
        {"attempts": None, "latency_s": None, "quality": None, "feedback_at": None},
    ]
    rows = [routed_request(request_id=str(i), **change) for i, change in enumerate(changes)]
    store = LogStore(tmp_path / "store")
    ingest([write_json_lines(tmp_path / "log.jsonl", rows)], store, tmp_path / "quarantine")
    data = store.logged_outcomes()
    assert [str(at) for at in data.answered_at - data.received_at] == [
        *("30250000 microseconds", "2000000 microseconds", "3000000 microseconds"),
        *("NaT", "NaT"),
    ]
    assert [str(at) for at in data.feedback_at] == ["2026-03-01T11:00:00.000000"] * 4 + ["NaT"]
