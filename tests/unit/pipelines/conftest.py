import contextlib
import importlib.util
import io
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from beast_ml.policy.learner import RouterLearner
from beast_ml.testing.registry_fixtures import migrated_store  # noqa: F401 - a fixture, used by name
from beast_ml.testing.router_fixtures import TINY

PIPELINES = Path(__file__).parents[3] / "pipelines"


@dataclass(frozen=True)
class Result:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def folder(tmp_path: Path, migrated_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """The working directory of the test, with an empty MLflow store in it."""
    (tmp_path / "mlflow.db").write_bytes(migrated_store.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BEAST_CONFIG", raising=False)
    return tmp_path


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a pipeline in that directory, in this process: importing everything anew would take seconds each time.

    What train.py and evaluate.py fit are tiny networks: they pass on what they were told, and `beast train` and `beast
    evaluate` prove the full families.
    """

    def run(name: str, *arguments: object) -> Result:
        spec = importlib.util.spec_from_file_location(f"pipeline_{Path(name).stem}", PIPELINES / name)
        pipeline = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(pipeline)
        if name in ("train.py", "evaluate.py"):
            monkeypatch.setattr(pipeline, "RouterLearner", partial(RouterLearner, families=TINY))
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = pipeline.main([str(argument) for argument in arguments])
            except SystemExit as stopped:  # argparse
                code = stopped.code
        return Result(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def query(folder: Path) -> Callable[[str], list[Any]]:
    """Ask what is in the MLflow store."""

    def query(sql: str) -> list[Any]:
        with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
            return database.execute(sql).fetchall()

    return query
