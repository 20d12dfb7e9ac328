import importlib.util
import json
from pathlib import Path

import pytest

from beast_ml.errors import DataError, MissingExtraError
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.public.quickstart import load_quickstart, quickstart_folder, read_arms

LINE = {"prompt": "Say hi", "source": "chat", "arms": {"m1": {"reward": 0.5, "cost": 0.001, "near_best": True}}}


def test_both_parts_are_whole_and_share_no_prompt() -> None:
    train, test = load_quickstart()
    assert train["query_id"].nunique() == 1785
    assert test["query_id"].nunique() == 1824
    assert len(train) == 3 * 1785
    assert len(test) == 3 * 1824
    assert not set(train["prompt"]) & set(test["prompt"])
    assert train["quality"].between(0, 1).all()
    assert (train["cost_usd"] > 0).all()


def test_the_tables_become_full_matrices() -> None:
    for frame in load_quickstart():
        matrix = OutcomeMatrix.from_frame(frame)
        assert len(matrix.models) == 3
        assert matrix.quality.shape == (matrix.n_queries, 3)
        assert not (matrix.quality != matrix.quality).any()


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    for name in ("val.jsonl", "test_holdout.jsonl"):
        (tmp_path / name).write_bytes((quickstart_folder() / name).read_bytes() + b"\n")
    with pytest.raises(DataError, match=r"has sha256 .* the published file has 9590556e"):
        load_quickstart(tmp_path)


def test_an_absent_file_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"pip install .paretobandit==0\.1\.1"):
        load_quickstart(tmp_path)


def test_an_absent_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError, match=r"beast-ml\[examples\]"):
        load_quickstart()


@pytest.mark.parametrize(
    "line",
    ["not json", "[]", json.dumps({**LINE, "arms": {"m": {}}}), json.dumps({**LINE, "arms": 3}), '{"prompt": 1}'],
)
def test_a_line_in_another_form_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(f"{json.dumps(LINE)}\n\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 3 of"):
        read_arms(path, "val")


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.touch()
    with pytest.raises(DataError, match="holds no outcome"):
        read_arms(path, "val")


def test_chinese_prompts_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({**LINE, "prompt": "为什么天空是蓝色的？"}, ensure_ascii=False), encoding="utf-8")
    assert read_arms(path, "val")["prompt"].tolist() == ["为什么天空是蓝色的？"]
