"""JSON objects, one a line: the lines that are none are named, and never stop the reading."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from beast_ml.errors import DataError

__all__ = ["MAX_LINE_BYTES", "JsonLine", "read_json_lines"]

MAX_LINE_BYTES: Final = 64 * 2**20
"""Longer lines are refused unread, so that memory stays bounded."""

_KEPT_OF_LONG_LINES: Final = 4096


class JsonLine(msgspec.Struct, frozen=True):
    """A line of a file: its object, or why it holds none.

    Parameters
    ----------
    number
        Line number, from 1.
    end
        Byte offset of the line's end, for progress.
    row
        The JSON object; empty when there is a reason.
    reason
        Why the line cannot be read, or None.
    raw
        The line itself when there is a reason; of an overlong line, its beginning.
    """

    number: int
    end: int
    row: dict[str, Any]
    reason: str | None = None
    raw: bytes = b""


def read_json_lines(path: Path, *, refuse_array: bool = True) -> Iterator[JsonLine]:
    """Yield the lines of a file that are not blank.

    Parameters
    ----------
    path
        The file.
    refuse_array
        Whether a first line that begins an array says that the whole file is meant for something else.

    Raises
    ------
    DataError
        If the file is one JSON array instead of lines.
    """
    decoder = msgspec.json.Decoder()
    with path.open("rb") as file:
        number = end = 0
        while line := file.readline(MAX_LINE_BYTES):
            number += 1
            end += len(line)
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
                if refuse_array and line.lstrip().startswith(b"["):
                    raise DataError(
                        f"{path} starts with '[', must hold one JSON object a line: jq -c '.[]' {path.name} turns an "
                        "array into lines"
                    )
            if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                while rest := file.readline(MAX_LINE_BYTES):
                    end += len(rest)
                    if rest.endswith(b"\n"):
                        break
                reason = f"line longer than {MAX_LINE_BYTES // 2**20} MiB"
                yield JsonLine(number, end, {}, reason, line[:_KEPT_OF_LONG_LINES])
                continue
            if line.isspace():
                continue
            row, reason_or_none = _decode(decoder, line)
            yield JsonLine(number, end, row, reason_or_none, line.rstrip(b"\r\n") if reason_or_none else b"")


def _decode(decoder: msgspec.json.Decoder[Any], line: bytes) -> tuple[dict[str, Any], str | None]:
    try:
        value = decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            value = json.loads(line.decode())  # takes NaN, Infinity and lone surrogates, to be judged by column
        except UnicodeDecodeError:
            return {}, "line is not valid UTF-8"
        except (ValueError, RecursionError):
            return {}, "line is not valid JSON"
    if not isinstance(value, dict):
        return {}, "line is not a JSON object"
    return value, None
