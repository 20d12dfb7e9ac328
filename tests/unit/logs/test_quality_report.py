from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from beast_ml.logs.ingest import ingest
from beast_ml.logs.quality_report import LogQuality, log_quality, quarantine_counts
from beast_ml.logs.store import LogStore
from beast_ml.testing.log_rows import cached_request, routed_request, write_json_lines

START = datetime(2026, 3, 1, tzinfo=UTC)


class FixedClock:
    def now(self) -> datetime:
        return datetime(2026, 6, 1, tzinfo=UTC)


def report_of(tmp_path: Path, *rows: dict[str, Any], **arguments: Any) -> LogQuality:
    store = LogStore(tmp_path / "store")
    ingest([write_json_lines(tmp_path / "log.jsonl", rows)], store, tmp_path / "quarantine")
    return log_quality(store, FixedClock(), **arguments)


def many(n: int, **changes: Any) -> list[dict[str, Any]]:
    """Return requests that alternate between two models, as a healthy log does."""
    return [
        routed_request(
            **{
                "request_id": f"r{i}",
                "received_at": (START + timedelta(minutes=i)).isoformat(),
                "chosen_model": ("small", "large")[i % 2],
                "served_model": ("small", "large")[i % 2],
                "propensity": 0.5,
                "quality": (i % 3) / 2,
                "feedback_at": None,
            }
            | changes
        )
        for i in range(n)
    ]


def test_the_numbers_are_those_of_the_log(tmp_path: Path) -> None:
    report = report_of(
        tmp_path,
        routed_request(request_id="a", propensity=0.25, quality=0.5),
        routed_request(request_id="b", propensity=0.5, quality=1.0, tenant_id="other"),
        routed_request(request_id="c", propensity=0.5, served_model="large", quality=None, cost_usd=None),
        routed_request(request_id="d", propensity=None, policy_version="external:x", status="error", served_model=None),
        cached_request(candidates=["large", "small", "spare"]),
    )
    assert (report.n_requests, report.n_tenants, report.n_answered) == (5, 2, 4)
    assert report.days == {"2026-03-01": 4, "2026-03-02": 1}
    assert report.first_at == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert report.statuses == {"ok": 4, "error": 1}
    assert report.cache_results == {"miss": 4, "semantic": 1}
    assert report.feedback_coverage == pytest.approx(2 / 3)
    assert report.null_shares["propensity"] == pytest.approx(2 / 5)
    assert report.n_fallback_answers == 1
    assert report.propensity.n_choices == 4
    assert report.propensity.null_share == pytest.approx(1 / 4)
    assert (report.propensity.minimum, report.propensity.maximum) == (0.25, 0.5)
    assert report.propensity.effective_sample_size == pytest.approx(8**2 / (16 + 4 + 4))
    small, large, spare = report.models
    assert [model.model for model in report.models] == ["small", "large", "spare"]
    assert (small.n_candidate, small.n_chosen, small.choice_share, small.n_labelled) == (5, 4, 1.0, 2)
    assert small.failure_rate == pytest.approx(1 / 2)
    assert small.mean_quality == pytest.approx(0.75)
    assert (large.n_chosen, large.failure_rate, large.mean_latency_s, large.mean_cost_usd) == (0, None, 0.5, None)
    assert (spare.n_candidate, spare.n_chosen) == (1, 0)
    assert json.loads(json.dumps(report.to_dict()))["first_at"] == "2026-03-01T10:00:00+00:00"


def test_a_healthy_log_raises_no_suspicion(tmp_path: Path) -> None:
    assert report_of(tmp_path, *many(300)).suspicions == ()


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "There is no request"),
        (many(10, chosen_model="small", served_model="small"), "Only small was ever chosen"),
        (many(300, candidates=["large", "small", "spare"]), "Candidates that were never chosen: spare."),
        (many(20), "Models chosen fewer than 100 times, too few to predict them well: large, small."),
        ([cached_request()], "No model was ever chosen"),
        (many(300, propensity=1), "Every propensity is 1: the router never explored"),
        (many(300, propensity=None, policy_version="external:x"), "100.0% of the choices have no propensity"),
        ([*many(300), routed_request(propensity=0.0001)], "The smallest propensity is 0.0001"),
        ([*many(300), routed_request(propensity=0.0001)], "The 301 choices are worth 1 uniform ones"),
        (many(300, quality=None), "No answer has a quality"),
        ([*many(300, quality=None), routed_request()], "Only 0.3% of the answers have a quality."),
        ([*many(300, quality=None), routed_request()], "Models without a single quality label: large."),
        (many(300, quality=1.0), "Every quality is the same number"),
        (many(300, feedback_at="2020-01-01T00:00:00Z"), "300 quality labels are older than their request"),
        (many(300, prompt=None), "100.0% of the requests have no prompt"),
        (many(300, cost_usd=None), "No request has a cost"),
        (many(300, status="error", served_model=None), "100% of the requests failed"),
        (many(300, status="error", served_model=None), "large did not answer 100% of the requests it was chosen for."),
        ([routed_request(received_at="2027-01-01T00:00:00Z")], "The last request is in the future (2027-01-01 00:00"),
        ([*many(2, received_at="2026-03-01T00:00:00Z")[:1], cached_request(received_at="2026-03-05T00:00:00Z")],
         "3 of the 5 days from 2026-03-01 to 2026-03-05 have no request."),
    ],
)  # fmt: skip
def test_what_looks_wrong_is_said(tmp_path: Path, rows: list[dict[str, Any]], sentence: str) -> None:
    found = report_of(tmp_path, *rows).suspicions if rows else log_quality(LogStore(tmp_path), FixedClock()).suspicions
    assert any(said.startswith(sentence) for said in found), found


def test_many_quarantined_rows_are_a_suspicion(tmp_path: Path) -> None:
    report = report_of(tmp_path, *many(300), quarantined={"prompt is missing": 5, "cost_usd is NaN": 1})
    assert report.suspicions == ("6 rows were quarantined, most of them (5) because prompt is missing.",)
    assert report_of(tmp_path, *many(300), quarantined={"x": 1}).suspicions == ()


def test_a_store_that_was_not_ingested_may_hold_copies(tmp_path: Path) -> None:
    report_of(tmp_path, *many(300))
    store = LogStore(tmp_path / "store")
    store.append_requests(store.requests())
    report = log_quality(store, FixedClock())
    assert report.n_duplicates == 300
    assert report.suspicions == ("300 requests are in the log more than once: ingest it again into a new store.",)


def test_quarantine_files_are_counted_by_reason(tmp_path: Path) -> None:
    for name in ("a", "b"):
        report_of(tmp_path / name, routed_request(quality=2), routed_request(request_id=""), routed_request(quality=3))
    files = sorted(tmp_path.glob("*/quarantine/*.jsonl"))
    assert quarantine_counts(files) == {"quality is outside 0..1": 4, "request_id is empty": 2}


def test_a_decision_of_which_nobody_told_the_end_is_no_failure(tmp_path: Path) -> None:
    untold = {"status": "cancelled", "error_kind": "unreported", "served_model": None, "quality": None}
    report = report_of(
        tmp_path,
        routed_request(request_id="a"),
        routed_request(request_id="b", status="error", served_model=None, quality=None),
        routed_request(request_id="c", **untold),
        routed_request(request_id="d", **untold),
    )
    small = next(model for model in report.models if model.model == "small")
    assert (small.n_chosen, small.failure_rate) == (4, 0.5)
