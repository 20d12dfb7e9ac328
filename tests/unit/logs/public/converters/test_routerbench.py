from pathlib import Path

import pandas as pd
import pytest

from beast_ml.errors import DataError
from beast_ml.logs.public.converters.routerbench import convert_routerbench


def write(path: Path, **columns: list) -> Path:
    pd.DataFrame(columns).to_csv(path)
    return path


def test_a_wide_table_becomes_one_row_per_score(tmp_path: Path) -> None:
    path = write(
        tmp_path / "mbpp_test.csv",
        sample_id=["mbpp.dev.1", "mbpp.dev.2"],
        prompt=["['Say \"hi\"\\nnow']", "plain text ["],
        eval_name=["mbpp-zero", "mbpp-zero"],
        **{
            "gpt|x": [1.0, 0.0],
            "claude": [0.5, None],
            "gpt|x|model_response": ["['a']", "['b']"],
            "gpt|x|total_cost": [0.01, 0.02],
            "claude|total_cost": [0.001, None],
        },
    )
    rows = convert_routerbench({"mbpp_test.csv": path}).sort_values(["query_id", "model"], ignore_index=True)
    assert rows["model"].tolist() == ["claude", "gpt|x", "gpt|x"]
    assert rows["quality"].tolist() == [0.5, 1.0, 0.0]
    assert rows["cost_usd"].tolist() == [0.001, 0.01, 0.02]
    assert rows["prompt"].tolist() == ['Say "hi"\nnow', 'Say "hi"\nnow', "plain text ["]
    assert set(rows["task"]) == {"mbpp_zero"}
    assert set(rows["split"]) == {"test"}
    assert rows["query_id"].str.match(r"routerbench:mbpp\.dev\.\d:[0-9a-f]{6}").all()


def test_another_table_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x_test.csv", prompt=["a"], quality=[1])
    with pytest.raises(DataError, match=r"x_test.csv is no RouterBench table: it lacks eval_name, sample_id"):
        convert_routerbench({"x_test.csv": path})
    path = write(tmp_path / "y_test.csv", prompt=["a"], sample_id=["1"], eval_name=["e"])
    with pytest.raises(DataError, match="it lacks cost columns"):
        convert_routerbench({"y_test.csv": path})
