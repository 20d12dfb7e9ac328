"""Values as files give them, made into Arrow columns of the log's types; those that do not fit are named."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from beast_ml.errors import DataError
from beast_ml.logs.arrow_schema import ARROW_TYPES
from beast_ml.logs.schema import ColumnType

__all__ = ["Cells", "cells_from_column", "cells_from_values", "parse_time"]

Cells = tuple[pa.Array, dict[int, str]]
"""A column, null where a value does not fit, and position -> what is wrong with the value there."""

_WORDS: Final[dict[ColumnType, str]] = {
    "string": "text",
    "float": "a number",
    "int": "a whole number",
    "time": "a time",
    "strings": "a list of text",
    "map": "a map of text",
    "attempts": "a list of attempts",
}
_MILLISECONDS_FROM: Final = 1e11  # as seconds, the year 5138: epoch numbers beyond are milliseconds
_INT64: Final = 2**63


def cells_from_values(name: str, kind: ColumnType, values: Sequence[Any]) -> Cells:
    """Return Python values as a column, text as large strings.

    Numbers may be written as text; ids and labels may be numbers; times are ISO 8601 (UTC where they do not say) or
    seconds or milliseconds since 1970; maps and lists may be JSON in text.
    """
    target = _target(kind)
    if kind in ("string", "float"):
        try:
            return pa.array(values, target), {}
        except (pa.ArrowException, UnicodeEncodeError):
            pass  # some value does not fit as it is: look at each
    convert = _CONVERT[kind]
    cells: list[Any] = []
    faults: dict[int, str] = {}
    for i, value in enumerate(values):
        try:
            cells.append(None if value is None else convert(value))
        except UnicodeEncodeError:
            cells.append(None)
            faults[i] = f"{name} is not valid UTF-8"
        except (TypeError, ValueError, OverflowError, OSError, RecursionError):
            cells.append(None)
            faults[i] = f"{name} is not {_WORDS[kind]}"
    return pa.array(cells, target), faults


def cells_from_column(path: Path, name: str, kind: ColumnType, column: pa.ChunkedArray | pa.Array) -> Cells:
    """Return a column of an Arrow or Parquet table as the log's type, text as large strings.

    Raises
    ------
    DataError
        If the whole column is of a type that cannot be meant.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    target = _target(kind)
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), target), {}
    if _is_text(array.type):
        if kind in ("float", "int"):
            raise DataError(f"column `{name}` of {path} is text, must be numbers: convert it where the file is written")
        try:
            array = array.cast(pa.large_binary()).cast(pa.large_string())
        except pa.ArrowInvalid:
            return cells_from_values(
                name, kind, [_decoded(value) for value in array.cast(pa.large_binary()).to_pylist()]
            )
        if kind != "string":
            return cells_from_values(name, kind, array.to_pylist())
    if pa.types.is_nested(array.type) != pa.types.is_nested(target):
        raise _wrong_type(path, name, kind, array.type)
    if kind == "time" and (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        return cells_from_values(name, kind, array.to_pylist())
    if kind == "int" and pa.types.is_floating(array.type):
        return cells_from_values(name, kind, [None if v is None or v != v else v for v in array.to_pylist()])
    if kind in ("map", "attempts"):  # pandas writes dictionaries as structs, whose fields Arrow cannot make a map of
        if array.type == target:
            return array, {}
        return cells_from_values(name, kind, array.to_pylist(maps_as_pydicts="lossy"))
    try:
        return array.cast(target, safe=False), {}
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _wrong_type(path, name, kind, array.type) from error


def parse_time(value: Any) -> datetime:
    """Return a time as aware UTC: from ISO 8601 (UTC where it does not say), or seconds or milliseconds since 1970.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If the value is none of these.
    """
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = datetime.fromisoformat(value.strip())
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value / 1000 if abs(value) > _MILLISECONDS_FROM else value
        return datetime.fromtimestamp(seconds, UTC)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    raise TypeError


def _target(kind: ColumnType) -> pa.DataType:
    # Arrow's plain strings hold 2 GiB a column, which the prompts of a large table exceed.
    return pa.large_string() if kind == "string" else ARROW_TYPES[kind]


def _wrong_type(path: Path, name: str, kind: ColumnType, found: pa.DataType) -> DataError:
    return DataError(f"column `{name}` of {path} is {found}, each of its values must be {_WORDS[kind]}")


def _is_text(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(test(kind) for test in tests)


def _decoded(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "surrogateescape")


def _text(value: Any) -> str:
    if isinstance(value, str):
        value.encode()
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise TypeError


def _float(value: Any) -> float:
    if isinstance(value, int | float | str):
        return float(value)
    raise TypeError


def _int(value: Any) -> int:
    number = value if isinstance(value, int) else _float(value)
    if math.isnan(number) or math.isinf(number) or number != int(number) or abs(number) >= _INT64:
        raise ValueError
    return int(number)


def _parsed(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _strings(value: Any) -> list[str]:
    parsed = _parsed(value)
    if not isinstance(parsed, list | tuple):
        raise TypeError
    return [_text(item) for item in parsed]


def _map(value: Any) -> list[tuple[str, str]]:
    parsed = _parsed(value)
    if not isinstance(parsed, Mapping):
        raise TypeError
    return [(_text(key), _label(item)) for key, item in parsed.items() if item is not None]


def _label(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool | float) else _text(value)


def _attempts(value: Any) -> list[dict[str, Any]]:
    parsed = _parsed(value)
    if not isinstance(parsed, list | tuple):
        raise TypeError
    return [_attempt(item) for item in parsed]


def _attempt(item: Any) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise TypeError
    latency, kind = item.get("latency_s"), item.get("error_kind")
    return {
        "model": _text(item.get("model")),
        "status": _text(item.get("status")),
        "error_kind": None if kind is None else _text(kind),
        "latency_s": None if latency is None else _float(latency),
    }


_CONVERT: Final[dict[ColumnType, Callable[[Any], Any]]] = {
    "string": _text,
    "float": _float,
    "int": _int,
    "time": parse_time,
    "strings": _strings,
    "map": _map,
    "attempts": _attempts,
}
