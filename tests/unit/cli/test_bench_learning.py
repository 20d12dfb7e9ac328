import json


def test_sets_that_are_not_there_leave_a_report_that_says_so(beast, tmp_path):
    code, out, _ = beast(
        *("bench", "learning", "--parts", "ope", "--quick", "--encoder", "hashing", "--data", tmp_path, "--out", "r")
    )
    assert code == 0
    assert "wrote r/report.md" in out
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    assert any("mmlu_pro is not there" in note for note in report["notes"]["ope"])


def test_an_unknown_part_is_the_user_s_to_mend(beast):
    code, _, err = beast("bench", "learning", "--parts", "astrology")
    assert code == 2
    assert "ope, feedback" in err
