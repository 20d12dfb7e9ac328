import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.errors import DataError
from beast_ml.logs.public.converters.zeroeval import answer_of, convert_zeroeval, same_literal, same_number


def write(path: Path, *answers: tuple[str, str]) -> Path:
    records = [
        {"id": f"t-#{i}", "question": f"Q{i}", "answer": key, "output": [output], "generator": "x"}
        for i, (output, key) in enumerate(answers)
    ]
    path.write_text(json.dumps(records), encoding="utf-8")
    return path


def test_both_tasks_are_scored(tmp_path: Path) -> None:
    gsm = write(
        tmp_path / "g",
        ('```json\n{\n "reasoning": "9 * 2",\n "answer": "$18"\n}\n```', "# 18"),
        ('{"reasoning": "", "answer": "80"}', "# 160"),
        ("I cannot tell.", "# 3"),
    )
    crux = write(tmp_path / "c", ('{"reasoning": "", "answer": "hbt"}', "'hbt'"), ('{"answer": [1, 2]}', "[1, 2]"))
    rows = convert_zeroeval({"gsm/Model-1@host.json": gsm, "crux/Model-1@host.json": crux})
    assert rows["model"].unique().tolist() == ["Model-1@host"]
    assert rows.groupby("task")["quality"].apply(list).to_dict() == {"gsm8k": [1.0, 0.0, 0.0], "cruxeval_o": [1.0, 1.0]}
    assert rows["prompt"].tolist()[:2] == ["Q0", "Q1"]
    assert rows["query_id"].tolist()[0] == "zeroeval:t-#0"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"a": 1} then {"answer": "x"} and {"answer": "y"}', "x"),
        ('{"reasoning": "line\nbreak", "answer": true}', "True"),
        ('{"reasoning": "broken " quote", "answer": "7"', "7"),
        ("reasoning: 3, answer: 12, done", "12"),
        ('{"answer": {"value": 3}}', "{'value': 3}"),
        ("{" * 50 + "nothing", None),
        ("", None),
    ],
)
def test_the_answer_is_found_in_broken_json_too(text: str, answer: str | None) -> None:
    assert answer_of(text) == answer


@given(st.text(max_size=100))
def test_any_text_is_read_without_failing(text: str) -> None:
    assert answer_of(text) is None or isinstance(answer_of(text), str)
    assert same_literal(repr(text), repr(text))
    assert same_literal(text, repr(text))
    assert isinstance(same_number(text, "# 1"), bool)


@pytest.mark.parametrize(
    ("answer", "key", "same"),
    [("1,200.50", "# 1200.5", True), ("-3", "# 3", False), ("none", "# 3", False), ("285 miles", "# 285", True)],
)
def test_numbers_are_compared_by_value(answer: str, key: str, same: bool) -> None:
    assert same_number(answer, key) is same


@pytest.mark.parametrize(
    ("answer", "key", "same"),
    [
        ("{'a': 1,'b': 2}", "{'b': 2, 'a': 1}", True),
        ('"abc"', "'abc'", True),
        ("1", "True", False),
        ("1.0", "1", False),
        ("f(x)", "'f(x)'", True),
        ("None", "None", True),
        ("abd", "'abc'", False),
    ],
)
def test_literals_are_compared_by_value_and_type(answer: str, key: str, same: bool) -> None:
    assert same_literal(answer, key) is same


@pytest.mark.parametrize(
    "content", ["{", '[{"id": 1}]', '[{"id": 1, "question": "", "answer": "", "output": []}]', "3"]
)
def test_another_form_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"gsm/m.json is no list of ZeroEval's answers"):
        convert_zeroeval({"gsm/m.json": path})


def test_odd_escapes_warn_nobody() -> None:
    assert same_literal(r"'\d'", r'"\d"')
