import numpy as np
import pandas as pd
import pytest

from beast_ml.errors import DataError
from beast_ml.evaluation.outcome_files import read_outcome_set


@pytest.fixture
def frame(make_outcomes, as_frame):
    return as_frame(make_outcomes(20))


def written(frame: pd.DataFrame, path):
    frame.to_parquet(path)
    return path


def test_a_clean_file_is_its_outcomes(frame, make_outcomes, tmp_path):
    outcomes = read_outcome_set(written(frame, tmp_path / "a.parquet"))
    assert outcomes.matrix.digest() == make_outcomes(20).digest()
    assert outcomes.warning() is None
    assert outcomes.to_dict() == {"file": str(tmp_path / "a.parquet"), "rows": 60, "duplicates": 0, "refused": {}}


def test_refused_rows_are_told_with_their_reasons(frame, tmp_path):
    frame.loc[3, "quality"] = 7.0
    outcomes = read_outcome_set(written(frame, tmp_path / "a.parquet"))
    assert sum(outcomes.refused.values()) == 1
    assert "1 of 60 rows" in outcomes.warning()


def test_a_test_query_whose_rows_are_all_bad_is_still_to_be_decided(frame, make_outcomes, tmp_path):
    lost = frame.query_id.isin(["q0003", "q0011"])
    frame.loc[lost, "quality"] = np.nan
    path = written(frame, tmp_path / "b.parquet")
    whole, kept = make_outcomes(20), read_outcome_set(path, keep_every_query=True).matrix
    assert kept.query_ids.tolist() == whole.query_ids.tolist()
    assert kept.prompts == whole.prompts
    assert kept.tasks.tolist() == whole.tasks.tolist()
    assert np.flatnonzero(np.isnan(kept.quality).all(axis=1)).tolist() == [3, 11]
    assert read_outcome_set(path).matrix.n_queries == 18


def test_a_query_without_a_prompt_is_decided_on_an_empty_one(frame, tmp_path):
    frame.loc[frame.query_id == "q0003", ["prompt", "task"]] = None
    kept = read_outcome_set(written(frame, tmp_path / "b.parquet"), keep_every_query=True).matrix
    assert kept.prompts[3] == ""
    assert kept.tasks[3] == ""


def test_rows_that_name_no_query_are_left_out(frame, tmp_path):
    frame.loc[0, "query_id"] = ""
    kept = read_outcome_set(written(frame, tmp_path / "b.parquet"), keep_every_query=True)
    assert kept.matrix.n_queries == 20
    assert sum(kept.refused.values()) == 1


def test_lines_that_are_no_rows_are_refused_and_not_decided(frame, tmp_path):
    path = tmp_path / "b.jsonl"
    path.write_text(frame.to_json(orient="records", lines=True) + '"not a row"\n{broken\n')
    kept = read_outcome_set(path, keep_every_query=True)
    assert kept.matrix.n_queries == 20
    assert sum(kept.refused.values()) == 2


def test_the_order_of_bad_rows_does_not_matter(frame, tmp_path):
    lost = frame.query_id == "q0003"
    frame.loc[lost, "quality"] = np.nan
    frame.loc[lost, "prompt"] = ["z", "a", "m"]
    first = read_outcome_set(written(frame, tmp_path / "1.parquet"), keep_every_query=True).matrix
    second = read_outcome_set(written(frame[::-1], tmp_path / "2.parquet"), keep_every_query=True).matrix
    assert first.prompts[3] == second.prompts[3] == "a"


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(DataError):
        read_outcome_set(tmp_path / "none.parquet")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda frame: frame.assign(quality=np.nan),
        lambda frame: frame.assign(quality=7.0),
        lambda frame: frame.assign(quality="good"),
        lambda frame: frame.assign(cost_usd="dear", task=[["a"]] * len(frame)),
        lambda frame: frame[["query_id", "prompt"]],
        lambda frame: frame.assign(model=None),
    ],
)
@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_every_query_is_kept_whatever_the_other_columns_hold(frame, make_outcomes, tmp_path, spoil, suffix):
    path = tmp_path / f"b.{suffix}"
    save = {
        "parquet": lambda table: table.to_parquet(path),
        "csv": lambda table: table.to_csv(path, index=False),
        "jsonl": lambda table: table.to_json(path, orient="records", lines=True),
    }
    save[suffix](spoil(frame))
    kept = read_outcome_set(path, keep_every_query=True)
    assert kept.matrix.query_ids.tolist() == make_outcomes(20).query_ids.tolist()
    assert kept.matrix.prompts == make_outcomes(20).prompts
    assert kept.rows == 60
    if kept.unusable:
        assert kept.warning().startswith("only query ids and prompts are read of")
        assert kept.to_dict()["unusable"] == kept.unusable


def test_ids_that_are_numbers_are_kept_too(frame, tmp_path):
    frame["query_id"] = frame.query_id.str[1:].astype(int)
    frame["quality"] = np.nan
    kept = read_outcome_set(written(frame, tmp_path / "b.parquet"), keep_every_query=True)
    assert kept.matrix.query_ids.tolist() == sorted(map(str, range(20)))


@pytest.mark.parametrize("column", ["query_id", "prompt"])
def test_queries_cannot_be_decided_without_ids_and_prompts(frame, tmp_path, column):
    path = written(frame.drop(columns=column), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=f"lacks the column {column}"):
        read_outcome_set(path, keep_every_query=True)


def test_a_file_that_names_no_query_is_an_error(frame, tmp_path):
    path = written(frame.assign(query_id=""), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="no usable row"):
        read_outcome_set(path, keep_every_query=True)
