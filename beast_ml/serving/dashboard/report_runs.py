"""Reports that take minutes, not milliseconds, made by commands beside the dashboard: drift, selection accuracy."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from typing import Any, Final

import msgspec

__all__ = ["ReportRun"]

_NICE: Final = 10
_TAIL: Final = 400


class ReportRun:
    """A command of `beast` that prints JSON, and what it printed last.

    Parameters
    ----------
    arguments
        Of `beast`, ``--json`` among them.
    every_s
        Seconds from the end of a run to the next.
    """

    def __init__(self, arguments: tuple[str, ...], every_s: float) -> None:
        self._arguments, self._every_s = arguments, every_s
        self.report: dict[str, Any] | None = None
        self.at_s: float | None = None
        self.problem: str | None = None

    @property
    def command(self) -> str:
        """What a person would type."""
        return " ".join(("beast", *self._arguments)).replace(" --json", "")

    async def run_for_ever(self) -> None:
        """Run it again and again, out of the way of what is urgent; what fails is told, and tried again."""
        while True:
            await self.run_once()
            await asyncio.sleep(self._every_s)

    async def run_once(self) -> None:
        """Run it, and keep what it prints, or why it printed nothing."""
        command = ("nice", "-n", str(_NICE), sys.executable, "-m", "beast_ml.cli", *self._arguments)
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, said = await child.communicate()
        except asyncio.CancelledError:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()
            raise
        try:
            self.report, self.at_s, self.problem = msgspec.json.decode(out, type=dict), time.time(), None
        except msgspec.MsgspecError:
            told = said.decode(errors="replace").strip()[-_TAIL:]
            self.problem = told or f"it ended with {child.returncode} and said nothing"
