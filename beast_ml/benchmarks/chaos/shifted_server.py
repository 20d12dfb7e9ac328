"""The server with a clock that can be set while it runs.

    python -m beast_ml.benchmarks.chaos.shifted_server FILE

The file holds the seconds that its clock is ahead of the machine's. Shifted is what decides: the clock that budgets,
windows and experiments are given, and ``time.time``, by which keys expire and entries of the cache age. Rows of the
log keep the machine's time.
"""

from __future__ import annotations

import runpy
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from beast_ml.domain.clock import SystemClock

__all__ = ["ShiftFile", "shift_clocks"]

_LOOK_S: Final = 0.05


class ShiftFile:
    """Seconds that are kept in a file, which is looked at twenty times a second.

    Parameters
    ----------
    path
        The file; 0 while there is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seconds, self._looked_at = 0.0, 0.0

    def seconds(self) -> float:
        """Return what it holds."""
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_S:
            self._looked_at = now
            try:
                self._seconds = float(self._path.read_text())
            except (OSError, ValueError):  # none yet, or being written
                return self._seconds
        return self._seconds


def shift_clocks(shift: ShiftFile) -> None:
    """Let this process, and what it forks, go by another clock."""
    machine_now, machine_time = SystemClock.now, time.time

    def now(self: SystemClock) -> datetime:
        return machine_now(self) + timedelta(seconds=shift.seconds())

    # Every part makes a clock of its own, so it is the class that has to tell another time.
    SystemClock.now = now  # type: ignore[method-assign]
    time.time = lambda: machine_time() + shift.seconds()


if __name__ == "__main__":
    shift_clocks(ShiftFile(Path(sys.argv[1])))
    sys.argv = sys.argv[:1]
    runpy.run_module("beast_ml.cli.serving_process", run_name="__main__")
