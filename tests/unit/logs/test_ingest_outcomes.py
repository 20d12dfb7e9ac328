from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.errors import DataError
from beast_ml.logs.ingest_outcomes import OutcomeIngest, read_outcomes
from beast_ml.logs.ingest_rules import MAX_PROMPT_BYTES
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.schema import OUTCOME_COLUMNS

GOOD: dict[str, Any] = {
    "query_id": "q0",
    "task": "maths",
    "prompt": "2 + 2?",
    "model": "small",
    "quality": 0.5,
    "cost_usd": 0.01,
    "input_tokens": 5,
    "output_tokens": 2,
    "latency_s": 0.3,
    "split": "train",
}


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def read(tmp_path: Path, *rows: dict[str, Any]) -> OutcomeIngest:
    """Read rows given as changes to a good one, after one that is good and distinct."""
    whole = [GOOD | {"query_id": "good"}, *(GOOD | row for row in rows)]
    return read_outcomes(write_jsonl(tmp_path / "rows.jsonl", whole))


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_every_format_gives_the_same_table(tmp_path: Path, suffix: str) -> None:
    frame = pd.DataFrame([GOOD, GOOD | {"model": "large", "cost_usd": None, "prompt": "二加二等于几?"}])
    frame["input_tokens"] = frame["input_tokens"].astype(float)
    path = tmp_path / f"outcomes.{suffix}"
    extra = frame.assign(judge="x")
    if suffix == "parquet":
        extra.to_parquet(path)
    elif suffix == "jsonl":
        extra.to_json(path, orient="records", lines=True)
    else:
        extra.to_csv(path, index=False)
    result = read_outcomes(path)
    assert result.frame.columns.tolist() == list(OUTCOME_COLUMNS)
    assert result.frame["prompt"].tolist() == ["2 + 2?", "二加二等于几?"]
    assert result.frame["quality"].tolist() == [0.5, 0.5]
    assert result.frame["cost_usd"].isna().tolist() == [False, True]
    assert (result.n_read, result.n_accepted, result.n_duplicates, result.n_quarantined) == (2, 2, 0, 0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cost_usd": math.nan}, "cost_usd is NaN"),
        ({"cost_usd": math.inf}, "cost_usd is infinite"),
        ({"latency_s": -math.inf}, "latency_s is infinite"),
        ({"cost_usd": -0.01}, "cost_usd is negative"),
        ({"latency_s": -1}, "latency_s is negative"),
        ({"output_tokens": -3}, "output_tokens is negative"),
        ({"input_tokens": "many"}, "input_tokens is not a number"),
        ({"input_tokens": [1]}, "input_tokens is not a number"),
        ({"cost_usd": 10**400}, "cost_usd is not a number"),
        ({"quality": None}, "quality is missing"),
        ({"quality": math.nan}, "quality is NaN"),
        ({"quality": math.inf}, "quality is infinite"),
        ({"quality": 1.01}, "quality is outside 0..1"),
        ({"quality": -0.01}, "quality is outside 0..1"),
        ({"query_id": ""}, "query_id is empty"),
        ({"query_id": " \t"}, "query_id is empty"),
        ({"query_id": None}, "query_id is missing"),
        ({"query_id": "q\u0000"}, "query_id holds control characters"),
        ({"query_id": "q" * 513}, "query_id is longer than 512 characters"),
        ({"model": ""}, "model is empty"),
        ({"model": {"name": "x"}}, "model is not text"),
        ({"model": True}, "model is not text"),
        ({"prompt": None}, "prompt is missing"),
        ({"prompt": "\ud800"}, "prompt is not valid UTF-8"),
        ({"prompt": "x" * (MAX_PROMPT_BYTES + 1)}, "prompt is longer than 10 MB"),
        ({"prompt": "多" * (MAX_PROMPT_BYTES // 3 + 1)}, "prompt is longer than 10 MB"),
    ],
)
def test_a_bad_row_is_quarantined_with_its_reason(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    result = read(tmp_path, change)
    assert result.frame["query_id"].tolist() == ["good"]
    assert result.reasons == {reason: 1}
    assert result.quarantined["row"].tolist() == [2]
    assert result.quarantined["source"].tolist() == [str(tmp_path / "rows.jsonl")]
    assert json.loads(result.quarantined["raw"][0])["split"] == "train"


@pytest.mark.parametrize(
    "change",
    [
        {"cost_usd": None, "input_tokens": None, "output_tokens": None, "latency_s": None},
        {"quality": 0, "cost_usd": 0},
        {"quality": True},
        {"quality": "0.25"},
        {"query_id": 17},
        {"task": None, "split": None},
        {"prompt": "x" * 2**20},
        {"prompt": ""},
        {"prompt": "请用中文回答: 天空为什么是蓝色的? 🌈"},
    ],
)
def test_an_odd_but_usable_row_is_accepted(tmp_path: Path, change: dict[str, Any]) -> None:
    result = read(tmp_path, change)
    assert (result.n_accepted, result.n_quarantined) == (2, 0)
    if isinstance(change.get("prompt"), str):
        assert result.frame["prompt"][1] == change["prompt"]


def test_the_first_broken_rule_is_the_reason(tmp_path: Path) -> None:
    result = read(tmp_path, {"query_id": "", "quality": 2, "cost_usd": -1})
    assert result.reasons == {"query_id is empty": 1}


def test_exact_copies_are_dropped_and_counted(tmp_path: Path) -> None:
    result = read(tmp_path, {}, {}, {"cost_usd": None}, {"cost_usd": None})
    assert result.n_duplicates == 2
    assert result.reasons == {"disagrees with another row of the same query and model": 1}
    assert result.frame["cost_usd"].tolist() == [0.01, 0.01]  # the row that knows more is kept


def test_copies_across_files_are_found(tmp_path: Path) -> None:
    first = write_jsonl(tmp_path / "a.jsonl", [GOOD])
    second = write_jsonl(tmp_path / "b.jsonl", [GOOD, GOOD | {"quality": 0.9}, GOOD | {"model": "large"}])
    result = read_outcomes([first, second])
    assert (result.n_read, result.n_accepted, result.n_duplicates, result.n_quarantined) == (4, 2, 1, 1)
    assert result.quarantined[["source", "row"]].to_numpy().tolist() == [[str(second), 2]]


cells = st.fixed_dictionaries(
    {
        "query_id": st.sampled_from(["a", "b", ""]),
        "model": st.sampled_from(["x", "y"]),
        "quality": st.sampled_from([0.0, 0.5, 1.0, 2.0, None]),
        "cost_usd": st.sampled_from([0.1, 0.2, None, -1.0, math.nan]),
        "prompt": st.sampled_from(["p", "q"]),
    }
)


@settings(max_examples=40, deadline=None)
@given(st.lists(cells, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_every_row_is_accounted_for_and_their_order_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], random: Any
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    base = [GOOD | {"query_id": "good"}]
    first = read_outcomes(write_jsonl(folder / "a.jsonl", [*base, *rows]))
    shuffled = random.sample(rows, len(rows))
    second = read_outcomes(write_jsonl(folder / "b.jsonl", [*shuffled, *base]))
    for result in (first, second):
        assert result.n_accepted + result.n_duplicates + result.n_quarantined == result.n_read == len(rows) + 1
    assert first.reasons == second.reasons
    assert OutcomeMatrix.from_frame(first.frame).digest() == OutcomeMatrix.from_frame(second.frame).digest()


def test_a_line_that_is_not_utf8_is_quarantined_and_the_rest_is_read(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", [GOOD])
    with path.open("ab") as file:
        file.write(b'{"query_id": "bad\xff"}\n')
        file.write(b"not json\n[1]\n\n")
    result = read_outcomes(path)
    assert result.n_accepted == 1
    assert result.quarantined["reason"].tolist() == [
        "line is not valid UTF-8",
        "line is not valid JSON",
        "line is not a JSON object",
    ]
    assert result.quarantined["row"].tolist() == [2, 3, 4]
    assert "bad\\\\xff" in result.quarantined["raw"][0]


def test_a_csv_cell_that_is_not_utf8_is_quarantined_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"query_id,prompt,model,quality\nq1,good,m,1\nq2,b\xe9d,m,1\nq3,short,m\n\n")
    result = read_outcomes(path)
    assert result.frame["query_id"].tolist() == ["q1"]
    assert result.quarantined["reason"].tolist() == [
        "prompt is not valid UTF-8",
        "row has not as many cells as the header",
    ]
    assert json.loads(result.quarantined["raw"][0])["prompt"] == "b\\xe9d"


def test_parquet_text_that_is_not_utf8_is_quarantined(tmp_path: Path) -> None:
    table = pa.table(
        {
            "query_id": pa.array(["a", "b"]).dictionary_encode(),
            "prompt": pa.array([b"fine", b"\xff"], pa.binary()),
            "model": ["m", "m"],
            "quality": [1, 0],
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    result = read_outcomes(tmp_path / "rows.parquet")
    assert result.frame["prompt"].tolist() == ["fine"]
    assert result.reasons == {"prompt is not valid UTF-8": 1}


def test_parquet_tells_nan_from_unknown(tmp_path: Path) -> None:
    costs = pa.array([0.1, None, math.nan])
    table = pa.table({"query_id": ["a", "b", "c"], "prompt": ["p"] * 3, "model": ["m"] * 3, "quality": [1.0] * 3})
    pq.write_table(table.append_column("cost_usd", costs), tmp_path / "rows.parquet")
    result = read_outcomes(tmp_path / "rows.parquet")
    assert result.frame["query_id"].tolist() == ["a", "b"]
    assert result.reasons == {"cost_usd is NaN": 1}


def test_a_parquet_column_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    names = ["query_id", "prompt", "model", "quality", "quality"]
    table = pa.Table.from_arrays([pa.array(["a"])] * 3 + [pa.array([1.0])] * 2, names=names)
    pq.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(DataError, match="has 2 columns named 'quality'"):
        read_outcomes(tmp_path / "rows.parquet")


def test_the_quarantine_is_saved_as_json_lines(tmp_path: Path) -> None:
    result = read(tmp_path, {"quality": math.inf})
    path = result.save_quarantine(tmp_path / "quarantine" / "rows.jsonl")
    assert path is not None
    [line] = path.read_text("utf-8").splitlines()
    assert json.loads(line)["raw"]["quality"] == "inf"
    assert read(tmp_path).save_quarantine(path) is None
    assert not path.exists()


def test_a_missing_file_a_folder_and_no_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file .*gone\.parquet: check the path"):
        read_outcomes(tmp_path / "gone.parquet")
    with pytest.raises(DataError, match="is a folder"):
        read_outcomes(str(tmp_path))
    with pytest.raises(DataError, match="no outcome file was given"):
        read_outcomes([])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.parquet", b"", "is empty"),
        ("rows.jsonl", b"\n\n", "has no rows"),
        ("rows.csv", b"query_id,prompt,model,quality\n", "has no rows"),
        ("rows.parquet", b"PAR1 and then nothing", "cannot be read as Parquet"),
        ("rows.parquet", b"query_id,prompt", "cannot be read as Parquet"),
        ("rows.xlsx", b"anything", r"unknown format '\.xlsx', must be one of \.csv"),
        ("rows.jsonl", b'[{"query_id": 1}]', "one JSON object a line"),
        (
            "rows.jsonl",
            b'{"query_id": "a", "prompt": "p"}\n',
            "lacks the columns model, quality; it has query_id, prompt",
        ),
        ("rows.csv", b"query_id,prompt,model,quality,model\na,b,c,1,d\n", "has 2 columns named 'model': keep one"),
        ("rows.csv", "query_id,prompt,model,quality\na,b,c,1\n".encode("utf-16"), "no UTF-8 text.*save it as UTF-8"),
        ("rows.csv", b"query_id,prompt,quality\na,b,1\n", "lacks the column model; it has query_id, prompt, quality"),
        ("rows.jsonl", b"nothing\nat all\n", r"no usable row in .*line is not valid JSON \(2\)"),
        (
            "rows.csv",
            b"query_id,prompt,model,quality\na,b,c,7\n",
            r"no usable row in .*quality is outside 0\.\.1 \(1\)",
        ),
    ],
)
def test_a_file_that_is_no_outcome_table_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_outcomes(tmp_path / name)


@pytest.mark.parametrize("cell", [b'"never closed', b'"closed" too early'])
def test_a_csv_of_broken_quotes_is_refused_with_the_line(tmp_path: Path, cell: bytes) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"query_id,prompt,model,quality\na," + cell + b",m,1\nb,p,m,1\n")
    with pytest.raises(DataError, match=r"cannot be read as CSV: .* \(line [23]\): mend its quotes"):
        read_outcomes(path)


def test_csv_fields_may_be_long(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"query_id,prompt,model,quality\na,{'x' * 10**6},m,1\n", "utf-8")
    assert read_outcomes(path).frame["prompt"].str.len().tolist() == [10**6]


def test_a_truncated_or_damaged_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pd.DataFrame([GOOD | {"query_id": f"q{i}"} for i in range(1000)]).to_parquet(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="truncated or damaged"):
        read_outcomes(path)
    path.write_bytes(whole[:10] + bytes(200) + whole[210:])
    with pytest.raises(DataError, match="truncated or damaged"):
        read_outcomes(path)


def test_a_parquet_column_of_the_wrong_type_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pd.DataFrame([GOOD | {"quality": "high"}]).to_parquet(path)
    with pytest.raises(DataError, match=r"column `quality` of .* is text, must be numbers"):
        read_outcomes(path)
    pd.DataFrame([GOOD | {"model": ["a"]}]).to_parquet(path)
    with pytest.raises(DataError, match=r"column `model` of .* is list.* must be text"):
        read_outcomes(path)


@pytest.mark.real_data
def test_the_largest_public_set_is_clean() -> None:
    folder = os.environ.get("BEAST_DATA_DIR")
    if not folder or not (path := Path(folder) / "mmlu_pro" / "outcomes.parquet").exists():
        pytest.skip("BEAST_DATA_DIR does not lead to mmlu_pro/outcomes.parquet")
    result = read_outcomes(path)
    assert (result.n_read, result.n_accepted) == (276_325, 276_325)
    assert np.isfinite(result.frame["quality"]).all()
