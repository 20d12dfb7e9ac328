"""Another release of this project, from its history: its code in a folder, and its own bundle and server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import beast_ml
from beast_ml.errors import InputError, UnavailableError

__all__ = ["FIRST", "FIRST_TAG", "Release", "release_tree"]

FIRST_TAG: Final = "serving-first"
"""Tag of the first release that serves, where tags have come along."""

FIRST: Final = "539e987d1ca2e742ab99155011476db6c8ef56ff"
"""Its commit: the first with `beast serve`, `/v1/route` and `beast bench serving`."""

_FIT: Final = (
    "import sys; from pathlib import Path; "
    "from beast_ml.benchmarks.serving.router_bundle import quickstart_bundle; "
    "sys.stdout.write(str(quickstart_bundle(Path(sys.argv[1]))))"
)
_WHERE: Final = "import sys, beast_ml; sys.stdout.write(beast_ml.__file__)"


@dataclass(frozen=True)
class Release:
    """A release whose code can be run.

    Parameters
    ----------
    commit
        Of its code.
    folder
        With the package.
    """

    commit: str
    folder: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """What has a child process import it, and not the release that runs."""
        return {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}

    def bundle(self, out: Path) -> Path:
        """Return a router's bundle fitted and written by this release's own code.

        Raises
        ------
        UnavailableError
            If its code does not run here.
        """
        out.mkdir(parents=True, exist_ok=True)
        return Path(self._said(_FIT, str(out)))

    def checked(self) -> Release:
        """Return it, once a child process has shown that it imports this code.

        Raises
        ------
        UnavailableError
            If it imports another, or nothing.
        """
        found = Path(self._said(_WHERE)).resolve()
        if not found.is_relative_to(self.folder.resolve()):
            raise UnavailableError(
                f"{self.commit[:12]} does not run from {self.folder}: {found} is imported in its place"
            )
        return self

    def _said(self, code: str, *arguments: str) -> str:
        environment = {**{k: v for k, v in os.environ.items() if not k.startswith("BEAST_")}, **self.environment}
        ended = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            cwd=self.folder,
        )
        if ended.returncode:
            last = ended.stderr.strip().splitlines()[-1:] or ["no word"]
            raise UnavailableError(f"the code of {self.commit[:12]} does not run here: {last[0]}")
        return ended.stdout.strip().splitlines()[-1]


@contextmanager
def release_tree(commit: str | None, folder: Path, repository: Path | None = None) -> Iterator[Release]:
    """Check a commit out beside this one, and take it away in the end.

    Parameters
    ----------
    commit
        What git knows it by; None: the first release that serves, by its tag or else by its commit.
    folder
        For it; what an earlier run left there is removed.
    repository
        The project's; None: where this package lies.

    Raises
    ------
    InputError
        If this is no repository with that commit.
    UnavailableError
        If its code cannot be run.
    """
    root = Path(beast_ml.__file__).parents[1] if repository is None else repository
    found = None
    for name in (commit,) if commit is not None else (FIRST_TAG, FIRST):
        found = _git(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        if found is not None:
            break
    if found is None:
        raise InputError(
            f"`--first` == {commit or FIRST!r}: {root} has no such commit; name one of its history, in a full clone"
        )
    _git(root, "worktree", "remove", "--force", str(folder))
    if _git(root, "worktree", "add", "--detach", "--force", str(folder), found) is None:
        raise InputError(f"git cannot check {found[:12]} out into {folder}: remove that folder")
    try:
        yield Release(found, folder).checked()
    finally:
        _git(root, "worktree", "remove", "--force", str(folder))


def _git(root: Path, *arguments: str) -> str | None:
    """Return what git says, None where it fails."""
    try:
        ended = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return ended.stdout.strip() if ended.returncode == 0 else None
