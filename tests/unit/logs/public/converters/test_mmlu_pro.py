import json
import zipfile
from pathlib import Path

import pytest

from beast_ml.errors import DataError
from beast_ml.logs.public.converters import mmlu_pro
from beast_ml.logs.public.converters.mmlu_pro import convert_mmlu_pro


def record(number: int, pred: str | None, question: str = "Which?") -> dict:
    return {
        "question_id": number,
        "question": question,
        "options": ["x", "y", "N/A"],
        "answer": "B",
        "category": "biology",
        "pred": pred,
        "model_outputs": "The answer is (B).",
    }


def archive(path: Path, **members: object) -> Path:
    with zipfile.ZipFile(path, "w") as stream:
        for name, content in members.items():
            stream.writestr(name, content if isinstance(content, str) else json.dumps(content))
    return path


def name(model: str) -> str:
    return f"model_outputs_{model}_5shots.zip"


def test_letters_are_compared_with_the_key(tmp_path: Path) -> None:
    members = {
        "out/biology.json": [record(1, "B"), record(2, "A"), record(3, None)],
        "__MACOSX/out/biology.json": "rubbish",
        "out/summary.json": {"total": 0.5},
        "out/readme.txt": "text",
    }
    rows = convert_mmlu_pro({name("m_1"): archive(tmp_path / "a.zip", **members)})
    assert rows["quality"].tolist() == [1.0, 0.0, 0.0]
    assert rows["query_id"].tolist() == ["mmlu_pro:1", "mmlu_pro:2", "mmlu_pro:3"]
    assert set(rows["model"]) == {"m_1"}
    assert set(rows["prompt"]) == {"Which?\nA. x\nB. y"}
    assert set(rows["task"]) == {"biology"}


def test_answers_to_an_edited_question_are_left_out(tmp_path: Path) -> None:
    files = {
        name(f"m{i}"): archive(
            tmp_path / f"{i}.zip", **{"a.json": [record(1, "B", "Which one?" if i == 2 else "Which?")]}
        )
        for i in range(3)
    }
    assert convert_mmlu_pro(files)["model"].tolist() == ["m0", "m1"]


@pytest.mark.parametrize("content", ["{", [{"question_id": 1}], [3]])
def test_other_records_are_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(DataError, match="is no archive of MMLU-Pro: "):
        convert_mmlu_pro({name("m"): archive(tmp_path / "a.zip", **{"a.json": content})})


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"not a zip")
    with pytest.raises(DataError, match="BadZipFile"):
        convert_mmlu_pro({name("m"): path})
    with pytest.raises(DataError, match=r"its name must be model_outputs_MODEL_5shots.zip"):
        convert_mmlu_pro({"other.zip": path})


def test_a_zip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmlu_pro, "_MAX_MEMBER_BYTES", 10)
    with pytest.raises(DataError, match=r"says it has .* bytes: refused"):
        convert_mmlu_pro({name("m"): archive(tmp_path / "a.zip", **{"a.json": [record(1, "B")]})})
