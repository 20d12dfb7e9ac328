"""`beast report drift` in this process."""

from __future__ import annotations

import json

import numpy as np

from beast_ml.testing.drifting_logs import drifting_log, drifting_rows


def test_a_model_that_got_worse_is_told_in_words_in_json_and_in_a_picture(beast, tmp_path) -> None:
    rows = drifting_rows(np.random.default_rng(0), days=30, drop=0.4, drop_day=15)
    drifting_log(tmp_path / "s", rows)
    code, out, _ = beast("report", "drift", "--store", "s", "--out", "o")
    assert code == 0
    assert "model-0 answers worse than it did" in out
    assert "next  look at the provider's notes on model-0" in out
    assert "01-1" in out  # since when
    report = json.loads((tmp_path / "o" / "report.json").read_text("utf-8"))
    alarm = report["findings"][0]["alarms"][0]
    assert alarm["since_earliest"] <= "2026-01-16" <= alarm["since_latest"]
    assert report["expected_false_alarms"] < 1.0
    assert (tmp_path / "o" / "drift.png").stat().st_size > 10_000


def test_nothing_is_said_to_have_drifted_where_nothing_has(beast, tmp_path) -> None:
    drifting_log(tmp_path / "s", drifting_rows(np.random.default_rng(1), days=10, labelled=False))
    code, out, _ = beast("report", "drift", "--store", "s", "--out", "o")
    assert code == 0
    assert "Nothing has drifted" in out
    assert "No request has a quality label" in out
    code, out, _ = beast("report", "drift", "--store", "s", "--since", "2026-01-05", "--json")
    assert json.loads(out)["since"] >= "2026-01-05"


def test_what_cannot_be_is_refused_with_the_way_out(beast, tmp_path) -> None:
    code, _, error = beast("report", "drift", "--store", "nowhere")
    assert code == 2
    assert "beast logs ingest" in error
    drifting_log(tmp_path / "s", drifting_rows(np.random.default_rng(1), days=1))
    code, _, error = beast("report", "drift", "--store", "s", "--false-alarms", "0")
    assert code == 2
    assert "false_alarms_per_month" in error
