"""An asyncio event loop whose clock jumps: what waits takes no time, and always the same."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["VirtualTimeLoop", "run_in_virtual_time"]

T = TypeVar("T")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Sleeps by moving its clock to the next thing to do; for code that waits for nothing but time.

    `time` is the clock to inject.
    """

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Return virtual seconds since the loop was made."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Move the clock forward."""
        self._now += seconds


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if timeout is None and not ready:
            raise RuntimeError("everything waits, and nothing for time: this would wait for ever")
        if not ready and timeout:
            self._loop.jump(timeout)
        return ready


def run_in_virtual_time(main: Coroutine[Any, Any, T], loop: VirtualTimeLoop) -> T:
    """Return what a coroutine returns, run on a loop that jumps.

    Examples
    --------
    >>> loop = VirtualTimeLoop()
    >>> run_in_virtual_time(asyncio.sleep(3600.0, "slept"), loop), round(loop.time())
    ('slept', 3600)
    """
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main)
