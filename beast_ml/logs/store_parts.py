"""The names of a store's files: numbered as they came, and a merged one by the numbers of those it takes the place of.

    part-000012-<token>.parquet            the thirteenth file of a folder
    part-000000..000015-<token>.parquet    what were the first sixteen
    part-000012r1-<token>.parquet          the thirteenth again, with less in it: its first revision

From the moment a merged or a revised file is there, those it was made of are no longer read: so both may lie there for
a while.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from beast_ml.errors import UnavailableError
from beast_ml.file_lock import file_lock
from beast_ml.places import listed

__all__ = [
    "LOCK",
    "current_parts",
    "lock",
    "merged_name",
    "next_number",
    "numbers_of",
    "publish_lock",
    "revised_name",
    "superseded_parts",
]

_NUMBERS: Final = re.compile(r"part-(\d+)(?:\.\.(\d+))?(?:r(\d+))?(?=[-.])")
LOCK: Final = ".compaction.lock"
"""Held by who adds to a store and reads what is in it first."""

_PUBLISH: Final = ".publish.lock"


def current_parts(folder: Path) -> list[Path]:
    """Return the files that are to be read, in the order in which their rows came."""
    return _sorted_out(folder)[0]


def superseded_parts(folder: Path) -> list[Path]:
    """Return the files whose rows lie in a merged one."""
    return _sorted_out(folder)[1]


def numbers_of(file: Path) -> tuple[int, int] | None:
    """Return the first and the last number in a file's name; None where somebody else named it."""
    found = _NUMBERS.match(file.name)
    return None if found is None else (int(found[1]), int(found[2] or found[1]))


def next_number(folder: Path) -> int:
    """Return the number of the next file."""
    return 1 + max((numbers[1] for file in folder.glob("part-*") if (numbers := numbers_of(file))), default=-1)


def merged_name(parts: Sequence[Path], token: str) -> str:
    """Return the name of the file that takes the place of consecutive ones."""
    numbers = [found for part in parts if (found := numbers_of(part))]
    return f"part-{numbers[0][0]:06d}..{numbers[-1][1]:06d}-{token}.parquet"


def revised_name(file: Path, token: str) -> str:
    """Return the name of the file that takes the place of one; the one has numbers in its name."""
    found = _NUMBERS.match(file.name)
    assert found is not None  # noqa: S101  the caller has asked `numbers_of`
    last = "" if found[2] is None else f"..{found[2]}"
    return f"part-{found[1]}{last}r{_revision(file) + 1}-{token}.parquet"


@contextmanager
def publish_lock(store: Path) -> Iterator[None]:
    """Wait for the moment in which nobody else gives numbers to a store's files."""
    with lock(store / _PUBLISH, wait=True):
        yield


@contextmanager
def lock(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock that ends with its process.

    Raises
    ------
    UnavailableError
        If somebody else holds it, and we do not wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(file_lock(path, wait=wait))
        except BlockingIOError as error:
            raise UnavailableError(
                f"{path.parent} is being added to by another process: wait until it is done"
            ) from error
        yield


def _revision(file: Path) -> int:
    found = _NUMBERS.match(file.name)
    return 0 if found is None else int(found[3] or 0)


def _sorted_out(folder: Path) -> tuple[list[Path], list[Path]]:
    files = sorted(listed(folder, "part-*.parquet"), key=_place)
    newer = [(found, _revision(file)) for file in files if (found := numbers_of(file)) and _takes_a_place(file)]
    if not newer:
        return files, []
    current: list[Path] = []
    superseded: list[Path] = []
    for file in files:
        numbers, revision = numbers_of(file), _revision(file)
        is_within = numbers is not None and any(
            by[0] <= numbers[0] and numbers[1] <= by[1] and (by != numbers or by_revision > revision)
            for by, by_revision in newer
        )
        (superseded if is_within else current).append(file)
    return current, superseded


def _takes_a_place(file: Path) -> bool:
    return ".." in file.name or _revision(file) > 0


def _place(file: Path) -> tuple[str, str]:
    """Return by what files are put in order: a revision stands where the file stood that it takes the place of."""
    found = _NUMBERS.match(file.name)
    return (file.name if found is None else file.name[: found.end(1)], file.name)
