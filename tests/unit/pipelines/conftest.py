import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beast_ml.testing.registry_fixtures import migrated_store  # noqa: F401 - a fixture, used by name

PIPELINES = Path(__file__).parents[3] / "pipelines"


@pytest.fixture
def folder(tmp_path: Path, migrated_store: Path) -> Path:  # noqa: F811
    """A working directory with an empty MLflow store in it."""
    (tmp_path / "mlflow.db").write_bytes(migrated_store.read_bytes())
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a pipeline in that directory, as its docstring says."""

    def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(PIPELINES / name), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)

    return run


@pytest.fixture
def query(folder: Path) -> Callable[[str], list[Any]]:
    """Ask what is in the MLflow store."""

    def query(sql: str) -> list[Any]:
        with sqlite3.connect(folder / "mlflow.db") as database:
            return database.execute(sql).fetchall()

    return query
