"""The fake provider as a process of its own, which takes no time from the one that is measured."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from types import TracebackType
from typing import Any, Self

import msgspec

from beast_ml.testing.fake_provider.outcomes import Fault, ProviderScript

__all__ = ["FakeProviderProcess"]


class FakeProviderProcess:
    """A provider in a child process, which ends with this one.

    Parameters
    ----------
    script
        What it answers.
    port
        0: any that is free.
    """

    def __init__(self, script: ProviderScript | None = None, port: int = 0) -> None:
        self._script = script or ProviderScript()
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the child."""
        if self._process is None:
            raise RuntimeError("the fake provider is not started")
        return self._process.pid

    def base_url(self, site: str = "") -> str:
        """Return the address for clients."""
        return f"http://127.0.0.1:{self.port}{f'/{site}' if site else ''}/v1"

    def fail(self, fault: Fault = "unavailable", **more: Any) -> dict[str, Any]:
        """Let calls fail from now on; ``more`` are fields of `Outage`, or ``for_s``."""
        return self._control("POST", "outages", {"fault": fault, **more})

    def heal(self) -> dict[str, Any]:
        """End what `fail` began."""
        return self._control("DELETE", "outages")

    def counts(self) -> dict[str, Any]:
        """Return how many calls it got, also by model."""
        return self._control("GET", "calls")

    def start(self) -> Self:
        """Start it, and wait until it listens."""
        self._process = process = subprocess.Popen(
            [sys.executable, "-m", "beast_ml.testing.fake_provider", "--port", str(self.port), "--with-parent"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None  # noqa: S101  both were asked for
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(msgspec.json.encode(self._script) + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the fake provider ended with {process.wait()} before it listened")
        self.port = json.loads(line)["port"]
        return self

    def stop(self) -> None:
        """End it."""
        if self._process is None:
            return
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def _control(self, method: str, what: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/control/{what}",
            None if body is None else json.dumps(body).encode(),
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            told: dict[str, Any] = json.loads(answer.read())
        return told
