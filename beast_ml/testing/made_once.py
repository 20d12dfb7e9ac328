"""What takes seconds to make and depends on the code alone: made once, for all test processes and all their runs.

It lies in the user's cache folder, under a digest of the whole package and of what it computes with, so a change of
either makes it anew. Whoever asks gets a copy: a test that damages its own harms no other.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

from beast_ml.benchmarks.results import code_digest
from beast_ml.features.distill import user_cache

__all__ = ["made_once"]

_COMPUTES: Final = (
    "faiss-cpu",
    "lightgbm",
    "mlflow",
    "numpy",
    "onnx",
    "onnxruntime",
    "safetensors",
    "scikit-learn",
    "scipy",
    "sentence-transformers",
    "tokenizers",
    "torch",
)
_KEPT: Final = 4  # of as many states of the code; each may take some hundred megabytes


def made_once(name: str, make: Callable[[Path], object], into: Path) -> Path:
    """Copy a folder, made first if need be, to a path where nothing is yet; return that path.

    Parameters
    ----------
    name
        Of what is made; another ``make`` needs another name.
    make
        Makes it, given a path where nothing is yet. It may read nothing but the package: what it makes is kept.
    into
        Where the copy goes.
    """
    made = _root() / name
    made.parent.mkdir(parents=True, exist_ok=True)
    os.utime(made.parent)  # it is in use
    if not made.is_dir():
        with _alone(made.with_suffix(".lock")):
            if not made.is_dir():  # nobody else has made it meanwhile
                _make(made, make)
    return Path(shutil.copytree(made, into))


@cache
def _root() -> Path:
    """Return the folder for what this code makes; of what other code made, what was used last is kept."""
    computed = [sys.version, *(f"{each} {version(each)}" for each in _COMPUTES)]
    digest = hashlib.sha256("\n".join([code_digest(), *computed]).encode()).hexdigest()
    root = user_cache() / "made-for-tests" / digest[:16]
    others = [other for other in root.parent.glob("*") if other != root]
    for other in sorted(others, key=_used_at, reverse=True)[_KEPT - 1 :]:
        shutil.rmtree(other, ignore_errors=True)
    return root


def _used_at(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:  # another process has just removed it
        return 0.0


def _make(made: Path, make: Callable[[Path], object]) -> None:
    """Make it aside and move it into place: a process that dies leaves nothing half made."""
    partial = Path(tempfile.mkdtemp(dir=made.parent, prefix=".partial-"))
    try:
        make(partial / "made")
        (partial / "made").rename(made)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
