"""Pythons with packages that do not install beside ours, for tests; `poe test-integrations` makes them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

import beast_ml

__all__ = ["FINDS_BEAST", "print_in", "python_with"]

FINDS_BEAST: Final = {"PYTHONPATH": str(Path(beast_ml.__file__).parents[1])}
"""Environment variables with which another Python imports this package, without anything that it depends on."""


def python_with(package: str) -> Path:
    """Return the Python of a package's environment under `BEAST_INTEGRATIONS`; skip the test where there is none."""
    folder = os.environ.get("BEAST_INTEGRATIONS")
    if folder is None:
        pytest.skip(f"needs an environment of its own with {package}: run `poe test-integrations`")
    return Path(folder) / package / "bin" / "python"


def print_in(python: Path, code: str, *arguments: str) -> str:
    """Return what code prints in another Python.

    Raises
    ------
    AssertionError
        If it fails; with what it wrote to standard error.
    """
    done = subprocess.run(
        [python, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **FINDS_BEAST},
        check=False,
        timeout=120,
    )
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout
