"""Results on disk: whole or not there at all, and found again by what they depend on.

A result is kept under a key made of its settings and of the code that computed it, so an interrupted run goes on where
it stopped, and a change of either computes anew.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import beast_ml
from beast_ml.errors import DataError

__all__ = ["LEARNING_CODE", "PEER_CODE", "code_digest", "result_key", "write_arrays", "write_bytes", "write_json"]

LEARNING_CODE: Final = (
    "domain",
    "logs",
    "features",
    "predictors",
    "policy",
    "evaluation/routers.py",
    "benchmarks/folds.py",
    "benchmarks/cross_validation.py",
    "benchmarks/fold_results.py",
)
"""Parts of the package that shape what routers learn and decide."""

PEER_CODE: Final = ("benchmarks/peers",)
"""What shapes the peers beside it."""


@cache
def code_digest(parts: Sequence[str] = ("",)) -> str:
    """Return a digest of the source of these files and folders of the package; of all of it by default."""
    root = Path(beast_ml.__file__).parent
    digest = hashlib.sha256()
    for part in parts:
        top = root / part
        for path in sorted(top.rglob("*.py")) if top.is_dir() else [top]:
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def result_key(settings: Mapping[str, Any]) -> str:
    """Return a short key of settings: equal settings, equal keys.

    Examples
    --------
    >>> result_key({"a": 1, "b": 2}) == result_key({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that whoever reads it finds all of it or none, whenever this process ends.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error}; choose another folder") from error


def write_json(path: Path, content: Any) -> None:
    """Write plain values as JSON; see `write_bytes`."""
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def write_arrays(path: Path, **arrays: NDArray[Any]) -> None:
    """Write arrays as a compressed ``.npz`` without pickles; see `write_bytes`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_bytes(path, buffer.getvalue())
