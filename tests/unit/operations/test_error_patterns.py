from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from beast_ml.errors import DataError, InputError
from beast_ml.logs.arrow_schema import REQUEST_SCHEMA
from beast_ml.logs.store import LogStore
from beast_ml.operations.error_patterns import ErrorPattern, ErrorReport, error_report
from beast_ml.operations.error_report_plot import draw_errors
from beast_ml.testing.failing_logs import LOG_END, failing_log

FAILED = {"status": "error", "served_model": None}


def after(row, hours: float) -> bool:
    return row["received_at"] >= LOG_END - timedelta(hours=hours)


def refused_key(row, rng):
    if row["endpoint"] == "large-us" and after(row, 6) and rng.random() < 0.8:
        row |= FAILED | {"error_kind": "auth"}


def long_prompts(row, rng):
    if after(row, 10) and row["tenant_id"] == "tenant-1":
        row["input_tokens"] = 20_000
        if row["chosen_model"] == "small":
            row |= FAILED | {"error_kind": "context_length"}


def bad_version(row, rng):
    if after(row, 8) and rng.random() < 0.5:
        row["policy_version"] = "v2"
        if rng.random() < 0.3:
            row |= FAILED | {"error_kind": "internal"}


def innocent_version(row, rng):
    if after(row, 8):
        row["policy_version"] = "v2"
        if rng.random() < 0.15:
            row |= FAILED | {"status": "timeout", "error_kind": "timeout"}


def budget(row, rng):
    if after(row, 3) and row["tenant_id"] == "tenant-2":
        row |= {"chosen_model": None, "propensity": None, "served_model": None, "endpoint": None, "region": None}
        row |= {"status": "rejected", "error_kind": "budget"}


def fallback(row, rng):
    if after(row, 5) and row["chosen_model"] == "large" and rng.random() < 0.5:
        row["attempts"] = [
            {"model": "large", "status": "error", "error_kind": "rate_limit", "latency_s": 0.1},
            {"model": "small", "status": "ok", "error_kind": None, "latency_s": 0.5},
        ]
        row |= {"served_model": "small", "endpoint": "small-eu", "region": "eu", "status": "ok", "error_kind": None}


def unreported(row, rng):
    if rng.random() < 0.5:
        row |= {"status": "cancelled", "error_kind": "unreported", "served_model": None}


def only_new(report: ErrorReport) -> ErrorPattern:
    [pattern] = [pattern for pattern in report.patterns if pattern.is_new]
    return pattern


def close_to(time: datetime, hours: float, within: float = 0.75) -> bool:
    return abs((time - (LOG_END - timedelta(hours=hours))).total_seconds()) < within * 3600


def test_one_endpoint_whose_key_is_refused(tmp_path):
    pattern = only_new(error_report(failing_log(tmp_path, refused_key)))
    assert (pattern.error_kind, pattern.model) == ("auth", "large")
    assert close_to(pattern.started_at, 6)
    assert pattern.started_from <= LOG_END - timedelta(hours=6) <= pattern.started_until
    assert pattern.ended_at is None
    assert ("endpoint", "large-us") in [(place.dimension, place.value) for place in pattern.where]
    assert pattern.cause.startswith("Endpoint large-us of large refuses the API key")
    assert "`api_key_env` of endpoint large-us" in pattern.next_step
    assert 0.2 < pattern.during.low < pattern.during.value < pattern.during.high < 0.6


def test_prompts_that_got_longer(tmp_path):
    pattern = only_new(error_report(failing_log(tmp_path, long_prompts)))
    assert (pattern.error_kind, pattern.model) == ("context_length", "small")
    assert pattern.changes[0].is_tied
    assert pattern.changes[0].dimension == "prompt length"
    assert "Failures go with what changed: prompt length 8,192 to 32,767 tokens went from 0%" in pattern.cause
    assert "`context_tokens` of small" in pattern.next_step


def test_a_policy_version_that_fails_beside_one_that_does_not(tmp_path):
    report = error_report(failing_log(tmp_path, bad_version))
    new = [pattern for pattern in report.patterns if pattern.is_new]
    assert {(pattern.error_kind, pattern.model) for pattern in new} == {("internal", "large"), ("internal", "small")}
    for pattern in new:
        assert [(c.dimension, c.value, c.is_tied) for c in pattern.changes] == [("policy version", "v2", True)]
        assert pattern.also == (("small",) if pattern.model == "large" else ("large",))
        assert "beast rollback" in pattern.next_step


def test_what_merely_came_at_the_same_time_is_not_blamed(tmp_path):
    new = [pattern for pattern in error_report(failing_log(tmp_path, innocent_version)).patterns if pattern.is_new]
    assert new
    for pattern in new:
        assert [(c.dimension, c.is_tied) for c in pattern.changes] == [("policy version", False)]
        assert "which need not be the reason: policy version v2 went from" in pattern.cause
        assert "rollback" not in pattern.next_step


def test_a_change_long_before_the_failures_is_not_mentioned(tmp_path):
    def version(row, rng):
        if after(row, 11):
            row["policy_version"] = "v2"

    pattern = only_new(error_report(failing_log(tmp_path, version, refused_key)))
    assert pattern.changes == ()


def test_what_failed_before_a_model_was_chosen_is_a_share_of_all_requests(tmp_path):
    report = error_report(failing_log(tmp_path, budget))
    pattern = only_new(report)
    assert (pattern.error_kind, pattern.model, pattern.is_refusal) == ("budget", None, True)
    assert pattern.name == "refusals by a budget"
    assert pattern.rate.n_calls == report.totals.n_requests
    assert ("tenant", "tenant-2") in [(place.dimension, place.value) for place in pattern.where]
    assert "budget's hard limit" in pattern.cause


def test_what_a_rule_refused_did_not_fail(tmp_path):
    report = error_report(failing_log(tmp_path, budget, rate=0.0))
    totals = report.totals
    assert (totals.n_failed, totals.n_ended) == (0, totals.n_requests - totals.n_refused)
    assert totals.n_refused == report.patterns[0].rate.n_failed > 20
    share = f"{totals.n_refused / totals.n_requests:.2%} of all {totals.n_requests:,}"
    assert report.sentence().startswith(
        f"0 of {totals.n_ended:,} requests failed (0.00%), {totals.n_refused:,} more were refused ({share})"
    )
    assert "1 of 1 patterns of failure or refusal is new" in report.sentence()


def test_budgets_whose_ledger_is_away_are_not_blamed_on_what_requests_ask_for(tmp_path):
    def ledger_away(row, rng):
        if rng.random() < 0.2:
            row |= {"chosen_model": None, "propensity": None, "served_model": None, "endpoint": None, "region": None}
            row |= {"status": "rejected", "error_kind": "ledger"}

    (pattern,) = error_report(failing_log(tmp_path, ledger_away, rate=0.0)).patterns
    assert pattern.name == "refusals by budgets that cannot be checked"
    assert pattern.cause.startswith("Budgets are set, and their ledger is away")
    assert "`beast_dependency_up`" in pattern.next_step


def test_failures_and_refusals_of_the_same_kind_are_two_patterns(tmp_path):
    def before_a_model(row, rng):
        if rng.random() < 0.3:
            row |= {"chosen_model": None, "propensity": None, "served_model": None, "endpoint": None, "region": None}
            row |= {"status": "error" if rng.random() < 0.5 else "rejected", "error_kind": "internal"}

    report = error_report(failing_log(tmp_path, before_a_model, rate=0.0))
    found = {pattern.is_refusal: pattern.rate for pattern in report.patterns}
    assert (found[False].n_failed, found[True].n_failed) == (report.totals.n_failed, report.totals.n_refused)
    assert found[True].n_calls == report.totals.n_requests - report.totals.n_failed


def test_calls_that_a_fallback_saved_are_failures_of_their_model(tmp_path):
    report = error_report(failing_log(tmp_path, fallback, rate=0.0))
    pattern = only_new(report)
    assert (pattern.error_kind, pattern.model) == ("rate_limit", "large")
    assert report.totals.n_failed == 0
    assert report.totals.n_recovered == pattern.rate.n_failed > 20
    assert "were saved by a fallback" in report.sentence()


@pytest.mark.parametrize("told", [True, False])
def test_the_endpoints_of_earlier_attempts_are_read_from_the_context(tmp_path, told):
    def one_of_two(row, rng):
        bad = row["endpoint"] == "large-us"
        fallback(row, rng)
        if row["attempts"] and not bad:
            row |= {"attempts": [], "served_model": "large"}
        elif told and row["attempts"]:
            row["context"] = {"attempt_endpoints": "large-us,small-eu"}

    pattern = only_new(error_report(failing_log(tmp_path, one_of_two, rate=0.0)))
    assert (pattern.error_kind, pattern.model) == ("rate_limit", "large")
    assert (("endpoint", "large-us") in [(place.dimension, place.value) for place in pattern.where]) == told


def test_decisions_whose_outcome_nobody_told_are_no_calls(tmp_path):
    report = error_report(failing_log(tmp_path, unreported, rate=0.0))
    assert report.patterns == ()
    assert 300 < report.totals.n_unreported < 700
    assert report.sentence().endswith("No call failed.")


def test_an_outage_that_is_over_has_an_end(tmp_path):
    def outage(row, rng):
        if after(row, 9) and not after(row, 5) and row["chosen_model"] == "small" and rng.random() < 0.7:
            row |= FAILED | {"error_kind": "provider"}

    pattern = only_new(error_report(failing_log(tmp_path, outage)))
    assert close_to(pattern.started_at, 9)
    assert close_to(pattern.ended_at, 5)


def test_failures_as_ever_are_not_new(tmp_path):
    report = error_report(failing_log(tmp_path, rate=0.05))
    assert [pattern.is_new for pattern in report.patterns] == [False, False]
    assert "None of 2 patterns of failure is new." in report.sentence()
    assert all(pattern.cause and pattern.next_step and pattern.examples for pattern in report.patterns)


def test_the_report_is_the_same_every_time_and_plain(tmp_path):
    store = failing_log(tmp_path, refused_key, long_prompts)
    first, second = error_report(store).to_dict(), error_report(store).to_dict()
    assert first == second
    assert datetime.fromisoformat(first["patterns"][0]["started_at"]).tzinfo is not None


def test_counts_are_those_of_the_log(tmp_path):
    store = failing_log(tmp_path, refused_key, long_prompts, budget)
    since = LOG_END - timedelta(hours=30)
    report = error_report(store, since)
    rows = store.requests(["status", "error_kind", "chosen_model"], since=since).to_pylist()
    failed = [row for row in rows if row["status"] != "ok"]
    refused = sum(row["status"] == "rejected" for row in rows)
    totals = report.totals
    assert (totals.n_requests, totals.n_failed, totals.n_refused) == (len(rows), len(failed) - refused, refused)
    for pattern in report.patterns:
        same = [
            row for row in failed if (row["error_kind"], row["chosen_model"]) == (pattern.error_kind, pattern.model)
        ]
        of_model = [row for row in rows if pattern.model is None or row["chosen_model"] == pattern.model]
        assert (pattern.rate.n_failed, pattern.rate.n_calls) == (len(same), len(of_model))
        assert sum(n for _, _, n in pattern.timeline) >= pattern.rate.n_failed
    assert sum(pattern.rate.n_failed for pattern in report.patterns) == len(failed)


def test_a_whole_log_as_the_window_has_nothing_to_be_compared_with(tmp_path):
    report = error_report(failing_log(tmp_path, refused_key), LOG_END - timedelta(days=30))
    assert all(pattern.before is None for pattern in report.patterns)
    assert close_to(only_new(report).started_at, 6)


def test_late_outcomes_count(tmp_path):
    store = failing_log(tmp_path, unreported, rate=0.0)
    waiting = store.requests(["request_id"], where="error_kind = 'unreported'")["request_id"].to_pylist()[-50:]
    told = {"request_id": waiting, "observed_at": [LOG_END] * 50, "status": ["error"] * 50}
    store.append_outcomes(pa.table(told | {"error_kind": ["timeout"] * 50}))
    report = error_report(store)
    assert report.totals.n_failed == 50
    assert {pattern.error_kind for pattern in report.patterns} == {"timeout"}


def test_a_single_request_is_a_log(tmp_path):
    store = LogStore(tmp_path)
    row = {"request_id": "r", "received_at": LOG_END, "tenant_id": "t", "candidates": ["a"], "chosen_model": "a"}
    store.append_requests(pa.Table.from_pylist([row | {"status": "timeout"}], REQUEST_SCHEMA))
    report = error_report(store)
    [pattern] = report.patterns
    assert (pattern.error_kind, pattern.is_new, pattern.rate.n_failed) == ("timeout", False, 1)
    draw_errors(tmp_path / "one.png", report)


@pytest.mark.parametrize("breaks", [(refused_key, long_prompts, budget), (), (unreported,)])
def test_the_picture_is_drawn(tmp_path, breaks):
    report = error_report(failing_log(tmp_path / "store", *breaks, rate=0.0, n=2_000))
    draw_errors(tmp_path / "errors.png", report)
    assert (tmp_path / "errors.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_reported_is_said_in_words(tmp_path):
    with pytest.raises(DataError, match="holds no log: beast logs ingest"):
        error_report(LogStore(tmp_path / "none"))
    store = failing_log(tmp_path / "store", n=50)
    with pytest.raises(DataError, match="holds no request since 2027-01-01 00:00 UTC: the last one came 2026-03-08"):
        error_report(store, datetime(2027, 1, 1, tzinfo=UTC))
    with pytest.raises(DataError, match="holds no request before 2020-01-01"):
        error_report(store, until=datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(InputError, match="no time zone"):
        error_report(store, datetime(2026, 3, 8))  # noqa: DTZ001
    assert error_report(store, rng=np.random.default_rng(1)).totals.n_requests > 0
