"""Counts of one worker in shared files, in the format of prometheus-client's multiprocess mode.

`prometheus_client` adds the files of all workers up; it also writes them, in 1 us for each number of a metric, with a
lock and a look at the process id each time. Here a number is a cell of the mapped file and adding to it takes 0.1 us;
as there, it is in the file at once and outlives the worker that is killed. A worker writes from one thread: two that
add to the same cell at once may lose one of the two.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sys
import time
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.utils import floatToGoString

from beast_ml.events import events

if TYPE_CHECKING:
    Cell: TypeAlias = tuple[memoryview[float], int]

__all__ = ["CellFiles", "Counters", "Gauges", "Histograms"]

OTHER: Final = "other"
"""What labels are shown as once a metric has as many series as it may have."""

_MAX_SERIES: Final = 500
_FILE_BYTES: Final = 1 << 16


class _Cells:
    """One file of numbers. It is written as it grows, so that a full disk is met there and not by a signal later."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._view: memoryview[float] = memoryview(array("d"))
        self._at: dict[str, int] = {}

    def at(self, keys: Sequence[str]) -> list[Cell]:
        """Return the cells of some keys, new ones at 0."""
        if any(key not in self._at for key in keys):
            self._add(keys)
        return [(self._view, self._at[key]) for key in keys]

    def _add(self, keys: Sequence[str]) -> None:
        needed = sum(len(key.encode()) + 32 for key in keys)
        if not self._path.exists():  # whole from the first moment on: others read it as they please
            new = self._path.with_suffix(".new")
            new.write_bytes(bytes(_FILE_BYTES))
            new.replace(self._path)
        size = self._path.stat().st_size
        with self._path.open("r+b") as file:
            used = max(int.from_bytes(file.read(4), sys.byteorder), 8)
            while size < used + needed:
                file.seek(size)
                file.write(bytes(size))
                size *= 2
        numbers = MmapedDict(str(self._path))  # type: ignore[no-untyped-call]
        for key in keys:
            numbers.read_value(key)  # type: ignore[no-untyped-call]
        numbers.close()  # type: ignore[no-untyped-call]
        values = MmapedDict.read_all_values_from_file(str(self._path))  # type: ignore[no-untyped-call]
        for key, _, _, position in values:
            self._at[key] = position // 8
        # A mapping of before stays valid, and is of the same pages.
        with self._path.open("r+b") as file:
            self._view = memoryview(mmap.mmap(file.fileno(), 0)).cast("d")


class CellFiles:
    """The files of one worker, in a folder that it shares with the others.

    They are named after a slot, which the worker holds by a lock that ends with it. The next worker takes the slot and
    counts on where the dead one stopped: sums stay whole, and however often workers die, files do not become more.

    Parameters
    ----------
    folder
        Of the files of all workers.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._slot, self._lock = next(
            (slot, lock) for slot in count() if (lock := _locked(folder / f"{slot}.lock")) is not None
        )
        self._files: dict[str, _Cells] = {}
        self._is_refused = False
        for stale in folder.glob(f"gauge_*_{self._slot}.db"):  # what the worker before said of itself
            stale.unlink(missing_ok=True)

    def forget_dead(self) -> None:
        """Delete what dead workers said of themselves; what they counted stays."""
        for path in self._folder.glob("gauge_live*.db"):
            lock = _locked(self._folder / f"{path.stem.rpartition('_')[2]}.lock")
            if lock is not None:
                path.unlink(missing_ok=True)
                os.close(lock)

    def close(self) -> None:
        """Give the slot back."""
        os.close(self._lock)

    def cells(self, kind: str, keys: Sequence[str]) -> list[Cell]:
        """Return cells of a kind (``counter``, ``histogram``, ``gauge_livesum``, ...), new ones at 0.

        Raises
        ------
        OSError
            If the disk takes no more.
        """
        file = self._files.get(kind)
        if file is None:
            file = self._files[kind] = _Cells(self._folder / f"{kind}_{self._slot}.db")
        try:
            cells = file.at(keys)
        except OSError as error:
            if not self._is_refused:  # said once: each request asks again, and what is said may go to the same disk
                events.warning("metrics.not_written", error=str(error))
            self._is_refused = True
            raise
        self._is_refused = False
        return cells


def _locked(path: Path) -> int | None:
    """Return the descriptor of a file that is locked now; None when another holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


class _Family:
    """A metric: its series by their label values, bound when first seen."""

    _kind: str

    def __init__(self, files: CellFiles, name: str, text: str, labels: Sequence[str] = ()) -> None:
        self._files, self._name, self._text, self._labels = files, name, text, tuple(labels)
        self._series: dict[tuple[str, ...], list[Cell]] = {}

    def _bind(self, values: tuple[str, ...]) -> list[Cell]:
        """Return the cells of a series that was not seen yet."""
        if len(self._series) >= _MAX_SERIES:
            values = (OTHER,) * len(values)
            if values in self._series:
                return self._series[values]
        keys = self._keys(values)
        try:
            cells = self._files.cells(self._kind, keys)
        except OSError:  # a full disk fails no request: this is counted nowhere, the next is tried again
            return [(memoryview(array("d", (0.0, 0.0))), 0) for _ in keys]
        self._series[values] = cells
        return cells

    def _keys(self, values: tuple[str, ...]) -> list[str]:
        raise NotImplementedError

    def _key(self, sample: str, values: Sequence[str], bound: str | None = None) -> str:
        labels = dict(zip(self._labels, values, strict=True)) | ({} if bound is None else {"le": bound})
        return str(mmap_key(self._name, sample, list(labels), list(labels.values()), self._text))


class Counters(_Family):
    """Numbers that only grow."""

    _kind = "counter"

    def add(self, values: tuple[str, ...] = (), amount: float = 1.0) -> None:
        """Add to the series of some label values."""
        view, i = (self._series.get(values) or self._bind(values))[0]
        view[i] += amount

    def _keys(self, values: tuple[str, ...]) -> list[str]:
        return [self._key(f"{self._name}_total", values)]


class Histograms(_Family):
    """How often values fell between given bounds, and their sum."""

    _kind = "histogram"

    def __init__(
        self, files: CellFiles, name: str, text: str, bounds: Sequence[float], labels: Sequence[str] = ()
    ) -> None:
        super().__init__(files, name, text, labels)
        self._bounds = list(bounds)

    def observe(self, values: tuple[str, ...], value: float) -> None:
        """Count a value in the series of some label values."""
        cells = self._series.get(values) or self._bind(values)
        view, i = cells[bisect_left(self._bounds, value)]
        view[i] += 1.0
        view, i = cells[-1]
        view[i] += value

    def _keys(self, values: tuple[str, ...]) -> list[str]:
        bounds = [floatToGoString(bound) for bound in (*self._bounds, float("inf"))]  # type: ignore[no-untyped-call]
        buckets = [self._key(f"{self._name}_bucket", values, bound) for bound in bounds]
        return [*buckets, self._key(f"{self._name}_sum", values)]


class Gauges(_Family):
    """Numbers that go up and down.

    Parameters
    ----------
    over_workers
        ``livesum``, ``livemax``, ``livemin`` of living workers, or what was said last: ``mostrecent``.
    """

    def __init__(self, files: CellFiles, name: str, text: str, over_workers: str, labels: Sequence[str] = ()) -> None:
        super().__init__(files, name, text, labels)
        self._kind = f"gauge_{over_workers}"

    def set(self, values: tuple[str, ...], value: float) -> None:
        """Say what the series of some label values is now."""
        view, i = (self._series.get(values) or self._bind(values))[0]
        view[i] = value
        view[i + 1] = time.time()

    def _keys(self, values: tuple[str, ...]) -> list[str]:
        return [self._key(self._name, values)]
