"""Which version of the code made a run: the commit of the checkout that the package runs from."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["CHANGED_TAG", "COMMIT_TAG", "code_tags"]

COMMIT_TAG: Final = "mlflow.source.git.commit"
"""Tag of a run with the commit, where MLflow's own list of runs shows it."""

CHANGED_TAG: Final = "uncommitted_changes"
"""Tag of a run whose code was not as its commit has it."""

_PACKAGE: Final = Path(__file__).parents[1]
_WITHIN_S: Final = 5.0


@cache
def code_tags(package: Path = _PACKAGE) -> dict[str, str]:
    """Return the tags that say which code runs; none where it is installed, and no checkout, or git does not tell.

    MLflow looks for the repository of the program that was started, which for a command is the environment's.

    Parameters
    ----------
    package
        Folder of the package.
    """
    if not (package.parent / ".git").exists():
        return {}
    try:
        commit = _git(package, "rev-parse", "HEAD").strip()
        changed = _git(package, "status", "--porcelain", "--", ".").strip()
    except (OSError, subprocess.SubprocessError):
        return {}
    return {COMMIT_TAG: commit} | ({CHANGED_TAG: "yes"} if changed else {})


def _git(folder: Path, *arguments: str) -> str:
    command = ("git", "-C", str(folder), *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=_WITHIN_S, check=True).stdout
