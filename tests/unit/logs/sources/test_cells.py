from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.errors import DataError
from beast_ml.logs.schema import ColumnType
from beast_ml.logs.sources.cells import cells_from_column, cells_from_values, parse_time

PATH = Path("log.parquet")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        "2026-03-01T12:00:00Z",
        "2026-03-01 12:00:00",
        " 2026-03-01T14:00:00+02:00 ",
        1772366400,
        "1772366400.0",
        1772366400000,
        NOON,
        NOON.replace(tzinfo=None),
    ],
)
def test_times_are_read_in_every_usual_form(value: Any) -> None:
    assert parse_time(value) == NOON
    assert parse_time(value).utcoffset() == timedelta(0)


@pytest.mark.parametrize("value", [True, None, [], "noon", float("nan")])
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        parse_time(value)


@given(st.lists(st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.booleans(), st.lists(st.text()))))
def test_every_value_is_a_cell_or_a_fault(values: list[Any]) -> None:
    kinds: list[ColumnType] = ["string", "float", "int", "time", "strings", "map", "attempts"]
    for kind in kinds:
        array, faults = cells_from_values("x", kind, values)
        assert len(array) == len(values)
        assert all(array[i].as_py() is None for i in faults)
        assert all(
            array[i].as_py() is not None for i, value in enumerate(values) if value is not None and i not in faults
        )


def test_a_column_of_the_right_type_passes_as_it_is() -> None:
    for kind, array in [
        ("float", pa.array([1, None])),
        ("int", pa.array([1, None], pa.int8())),
        ("time", pa.array([NOON, None])),
        ("time", pa.array(["2026-03-01T12:00:00Z", None])),
        ("time", pa.array([1772366400, None])),
        ("strings", pa.array([["a"], None])),
        ("string", pa.array(["a", None]).dictionary_encode()),
        ("string", pa.array([None, None])),
        ("map", pa.array([[("a", "b")], None], pa.map_(pa.string(), pa.string()))),
        ("map", pa.array([{"a": "b"}, None])),
        ("map", pa.array(['{"a": 1}', None])),
    ]:
        cells, faults = cells_from_column(PATH, "x", kind, array)  # type: ignore[arg-type]
        assert (len(cells), faults) == (2, {})
        assert cells.null_count == array.null_count


def test_floats_in_a_column_of_whole_numbers_are_looked_at_one_by_one() -> None:
    cells, faults = cells_from_column(PATH, "n", "int", pa.chunked_array([[1.0, 1.5], [None]]))
    assert cells.to_pylist() == [1, None, None]
    assert faults == {1: "n is not a whole number"}


@pytest.mark.parametrize(
    ("kind", "array"),
    [
        ("float", pa.array(["1"])),
        ("int", pa.array([["1"]])),
        ("strings", pa.array([1])),
        ("map", pa.array([1.5])),
        ("time", pa.array([True])),
        ("strings", pa.array([[[1]]])),
    ],
)
def test_a_column_that_cannot_be_meant_is_refused(kind: ColumnType, array: pa.Array) -> None:
    with pytest.raises(DataError, match=r"column `x` of log\.parquet is"):
        cells_from_column(PATH, "x", kind, array)
