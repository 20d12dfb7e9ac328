"""A pytest fixture that runs the command line in this process; a conftest imports it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from beast_ml.cli import main as command_line

__all__ = ["Run", "beast"]

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
