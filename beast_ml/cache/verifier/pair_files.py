"""Labelled pairs from a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.cache.verifier.labelled import LabelledPairs
from beast_ml.errors import DataError

__all__ = ["read_labelled_pairs", "read_labels", "read_texts"]

_TEXTS: Final = ("text_a", "text_b")
_LABEL: Final = "is_duplicate"


def read_texts(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the two columns of texts of a Parquet file, and read nothing else of it.

    Raises
    ------
    DataError
        If it is no Parquet file, is empty, or a text is missing.
    """
    table = _read(path, _TEXTS)
    columns = []
    for name in _TEXTS:
        values = table[name].to_pylist()
        bad = next((row for row, value in enumerate(values) if not isinstance(value, str)), None)
        if bad is not None:
            raise DataError(f"{path}: `{name}` in row {bad} is {values[bad]!r}, must be a text: leave such rows out")
        columns.append(tuple(values))
    if not columns[0]:
        raise DataError(f"{path} has no rows, must have one pair of texts a row")
    return columns[0], columns[1]


def read_labels(path: Path) -> NDArray[np.bool_] | None:
    """Return the column of labels, or None where the file has none.

    Raises
    ------
    DataError
        If a label is neither true or 1 nor false or 0.
    """
    import pyarrow.parquet as pq

    if _LABEL not in pq.read_schema(path).names:
        return None
    values = _read(path, (_LABEL,))[_LABEL].to_pylist()
    bad = next((row for row, value in enumerate(values) if value not in (0, 1)), None)
    if bad is not None:
        raise DataError(f"{path}: `{_LABEL}` in row {bad} is {values[bad]!r}, must be true or false")
    return np.array(values, dtype=bool)


def read_labelled_pairs(path: Path) -> LabelledPairs:
    """Return the pairs of a Parquet file with the columns ``text_a, text_b, is_duplicate``.

    Raises
    ------
    DataError
        If it does not hold such pairs.
    """
    text_a, text_b = read_texts(path)
    labels = read_labels(path)
    if labels is None:
        raise DataError(f"{path} has no column `{_LABEL}`, without which nothing can be learnt from it")
    return LabelledPairs(text_a, text_b, labels)


def _read(path: Path, columns: Sequence[str]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise DataError(f"{path} is no file, must be a Parquet file with text_a, text_b and is_duplicate")
    try:
        present = pq.read_schema(path).names
        missing = [name for name in columns if name not in present]
        if missing:
            raise DataError(f"{path} has no column `{missing[0]}`, there are {', '.join(present)}")
        return pq.read_table(path, columns=list(columns))
    except pa.ArrowException as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}; must be written by pandas or pyarrow") from error
