"""A bound on what may be spent, which holds whatever happens: the most a call may cost is put aside before it."""

from __future__ import annotations

import asyncio

__all__ = ["Purse"]


class Purse:
    """Money for calls, in nano-dollars.

    Parameters
    ----------
    limit
        The most that may be spent.
    spent
        What was spent before.
    """

    def __init__(self, limit: int, spent: int = 0) -> None:
        self.limit, self.spent = limit, spent
        self._held = 0
        self._settled = asyncio.Condition()

    async def hold(self, upper: int) -> bool:
        """Put aside what a call may cost; return False where it is not there, nor will be.

        Where calls on their way may leave enough, it waits for them.
        """
        async with self._settled:
            await self._settled.wait_for(lambda: self._fits(upper) or not self._held)
            if not self._fits(upper):
                return False
            self._held += upper
            return True

    async def settle(self, upper: int, actual: int) -> None:
        """Replace what was put aside by what was spent."""
        async with self._settled:
            self._held -= upper
            self.spent += actual
            self._settled.notify_all()

    def _fits(self, upper: int) -> bool:
        return self.spent + self._held + upper <= self.limit
