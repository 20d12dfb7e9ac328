"""pytest fixtures that run the command line in this process; a conftest imports them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from beast_ml.cli import main as command_line
from beast_ml.policy import learner
from beast_ml.testing.router_fixtures import TINY

__all__ = ["Run", "beast", "tiny_routers"]

Run = Callable[..., tuple[int, str, str]]
"""Runs a command; gives exit code, and what it printed on both streams."""


@pytest.fixture
def beast(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a command in an empty folder; return its exit code and what it printed, on both streams."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["beast", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            command_line.run()
        printed = capsys.readouterr()
        return int(caught.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def tiny_routers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands of this process fit hardly any weights: for what is told of a router, not how good it is."""
    monkeypatch.setattr(learner, "RouterLearner", partial(learner.RouterLearner, families=TINY))
