"""`beast report errors` in this process."""

from __future__ import annotations

import json
from datetime import timedelta

from beast_ml.testing.failing_logs import LOG_END, failing_log


def outage(row, rng):
    hours = (LOG_END - row["received_at"]).total_seconds() / 3600
    if 5 < hours < 9 and row["chosen_model"] == "small":
        row |= {"status": "error", "error_kind": "provider", "served_model": None}


def many_kinds(row, rng):
    row |= {"status": "error", "error_kind": f"odd-{rng.integers(24)}", "served_model": None}


def test_an_outage_that_is_over_is_shown_with_its_end(beast, tmp_path):
    failing_log(tmp_path / "s", outage, n=3_000)
    code, out, _ = beast("report", "errors", "--store", "s")
    assert code == 0
    assert "provider failures of small" in out
    assert "03-08 15:" in out
    assert " to 03-08 19:" in out
    assert "begun between 03-08 " in out


def test_without_anything_new_what_fails_most_is_explained(beast, tmp_path):
    failing_log(tmp_path / "s", n=3_000)
    code, out, _ = beast("report", "errors", "--store", "s", "--out", "o")
    assert code == 0
    assert "is new." in out
    assert "Written: o/report.json, o/errors.png" in out
    assert json.loads((tmp_path / "o" / "report.json").read_text("utf-8"))["totals"]["n_requests"] > 0


def over_budget(row, rng):
    if (LOG_END - row["received_at"]).total_seconds() < 3 * 3600 and row["tenant_id"] == "tenant-2":
        row |= {"chosen_model": None, "propensity": None, "served_model": None, "endpoint": None, "region": None}
        row |= {"status": "rejected", "error_kind": "budget"}


def test_what_a_budget_refused_is_not_said_to_have_failed(beast, tmp_path):
    failing_log(tmp_path / "s", over_budget, n=3_000, rate=0.0)
    code, out, _ = beast("report", "errors", "--store", "s")
    assert code == 0
    assert "0 of " in out
    assert " requests failed (0.00%)" in " ".join(out.split())
    assert "refusals by a budget" in out
    assert "requests were refused" in out
    assert "calls failed" not in out


def test_more_patterns_than_fit_are_counted(beast, tmp_path):
    failing_log(tmp_path / "s", many_kinds, n=1_500)
    code, out, _ = beast("report", "errors", "--store", "s", "--since", "2026-03-02T00:00+00:00")
    assert code == 0
    assert "more, see --json" in out
    assert "fail with 'odd-" in out
    assert "Look for the examples in the log" in out


def test_how_long_ago_is_counted_from_now(beast, tmp_path):
    failing_log(tmp_path / "s", n=200)
    code, out, _ = beast("report", "errors", "--store", "s", "--since", "5000w", "--json")
    assert code == 0
    report = json.loads(out)
    assert report["totals"]["n_requests"] == 200
    assert report["since"] < (LOG_END - timedelta(days=7)).isoformat()
    assert beast("report", "errors", "--store", "s", "--since", "1.5h")[0] == 2
