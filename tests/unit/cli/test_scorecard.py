import json

import pytest


def test_a_card_of_little_is_printed_and_written(beast, tmp_path):
    code, out, err = beast("scorecard", "--only", "changes", "--out", tmp_path / "card")
    assert code == 0
    assert "of 1 targets 1 not measurable" in out
    assert "has nothing to tell yet" in err
    assert json.loads((tmp_path / "card" / "scorecard.json").read_text())["targets"][0]["name"] == "self-improvement"
    assert (tmp_path / "card" / "scorecard.md").read_text().startswith("# Scorecard")


def test_what_is_asked_for_must_be_there(beast, tmp_path):
    assert beast("scorecard", "--only", "weather")[0] == 2
    wrong = tmp_path / "report.json"
    wrong.write_text("[]")
    code, _, err = beast("scorecard", "--only", "changes", "--baseline", wrong)
    assert code == 2
    assert "give the report.json that `beast bench serving` wrote" in err


@pytest.mark.parametrize("option", ["--store", "--log"])
def test_the_log_is_named_as_the_reports_name_it_or_as_it_was(beast, tmp_path, option):
    code, _, err = beast("scorecard", "--only", "log", option, tmp_path / "logs", "--out", tmp_path / "card")
    assert code == 0
    assert f"{tmp_path / 'logs'} holds no request that ended" in " ".join(err.split())
    (first, *_) = json.loads((tmp_path / "card" / "scorecard.json").read_text())["targets"]
    assert first["command"] == f"beast scorecard --only log --store {tmp_path / 'logs'}"
