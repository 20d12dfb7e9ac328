"""Verdicts on cached answers, in the background: no client waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from beast_ml.events import events
from beast_ml.serving.answer_cache.judges import Doubt, Judge

__all__ = ["Verdicts"]

_MOST_AT_ONCE: Final = 64


class Verdicts:
    """Has answers judged, and counts what comes of it.

    Parameters
    ----------
    judge
        Who judges.
    counted
        Is told of which kind of hit, and its verdict: ``right``, ``wrong`` or ``unknown``.
    """

    def __init__(self, judge: Judge, counted: Callable[[str, str], None]) -> None:
        self.judge, self._counted = judge, counted
        self._running: set[asyncio.Task[None]] = set()

    def ask(self, of: str, doubt: Doubt, then: Callable[[bool], Awaitable[object]]) -> None:
        """Have a cached answer judged, and tell ``then`` whether it is wrong; if too many wait, it is dropped."""
        if len(self._running) >= _MOST_AT_ONCE:
            self._counted(of, "unknown")
            return
        task = asyncio.create_task(self._ask(of, doubt, then))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Drop what is not judged yet."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _ask(self, of: str, doubt: Doubt, then: Callable[[bool], Awaitable[object]]) -> None:
        try:
            wrong = await self.judge.wrong(doubt)
            if wrong is not None:
                await then(wrong)
            self._counted(of, "unknown" if wrong is None else "wrong" if wrong else "right")
        except Exception as error:  # noqa: BLE001  a verdict less; the client has its answer
            events.error("cache.not_judged", error=repr(error))
            self._counted(of, "unknown")
