import json
from pathlib import Path

import pytest

from beast_ml.errors import DataError
from beast_ml.logs.public.converters.routerdc import convert_routerdc


def write(path: Path, records: object) -> Path:
    path.write_text(json.dumps(records), encoding="utf-8")
    return path


def test_a_probability_of_the_right_choice_counts_as_right(tmp_path: Path) -> None:
    record = {"question": "Q?\nA. x", "scores": {"m1": 0.31, "m2": 0}, "cluster_id": 3}
    rows = convert_routerdc({"cmmlu_train.json": write(tmp_path / "c.json", [record])})
    assert rows["quality"].tolist() == [1.0, 0.0]
    assert rows["task"].tolist() == ["cmmlu", "cmmlu"]
    assert rows["split"].tolist() == ["train", "train"]
    assert rows["query_id"].tolist() == ["routerdc7:cmmlu_train:0"] * 2


@pytest.mark.parametrize(
    ("name", "task", "split"),
    [
        ("gsm8k-test.json", "gsm8k", "test"),
        ("humaneval_train.json", "humaneval", "train"),
        ("MATH_prealgebra.json", "prealgebra", "ood_test"),
        ("mbpp.json", "mbpp", "ood_test"),
    ],
)
def test_sampled_scores_are_kept_and_names_tell_task_and_split(
    tmp_path: Path, name: str, task: str, split: str
) -> None:
    rows = convert_routerdc({name: write(tmp_path / name, [{"question": "Q", "scores": {"m": 0.3}}])})
    assert rows.loc[0, ["task", "split", "quality", "prompt"]].tolist() == [task, split, 0.3, "Q"]


@pytest.mark.parametrize("content", ["{", '{"a": 1}', '[{"question": "Q"}]', '[{"question": "Q", "scores": 3}]'])
def test_another_form_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mbpp.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"mbpp.json is no list of questions with scores"):
        convert_routerdc({"mbpp.json": path})
