"""Verdicts on cached answers, in the background: no client waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from beast_ml.events import events
from beast_ml.serving.answer_cache.judges import Doubt, Judge

__all__ = ["Verdicts"]

_MOST_AT_ONCE: Final = 64

Then = Callable[[bool | None], Awaitable[object]]


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

    def ask(self, of: str, doubt: Doubt, then: Then) -> None:
        """Have a cached answer judged, and tell ``then`` whether it is wrong: None if nobody can say, or many wait."""
        if len(self._running) >= _MOST_AT_ONCE:
            self.lost(of, then)
        else:
            self._start(self._ask(of, doubt, then))

    def lost(self, of: str, then: Then) -> None:
        """Tell ``then`` that there is no verdict on a cached answer that was to be judged."""
        self._start(self._told(of, None, then))

    async def close(self) -> None:
        """Drop what is not judged yet."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _ask(self, of: str, doubt: Doubt, then: Then) -> None:
        try:
            wrong = await self.judge.wrong(doubt)
        except Exception as error:  # noqa: BLE001  a verdict less; the client has its answer
            events.error("cache.not_judged", error=repr(error))
            wrong = None
        await self._told(of, wrong, then)

    async def _told(self, of: str, wrong: bool | None, then: Then) -> None:
        try:
            await then(wrong)
        except Exception as error:  # noqa: BLE001  as above: a full disk, say
            events.error("cache.verdict_not_kept", error=repr(error))
            wrong = None
        self._counted(of, "unknown" if wrong is None else "wrong" if wrong else "right")
