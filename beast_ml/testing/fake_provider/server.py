"""The fake provider as a thread of the tests' process."""

from __future__ import annotations

import logging
import socket
import threading
import time
from types import TracebackType
from typing import Final, Self

import uvicorn

from beast_ml.testing.fake_provider.app import Call, FakeProviderApp
from beast_ml.testing.fake_provider.outcomes import Fault, Outage, ProviderScript

__all__ = ["FakeProvider", "listening_socket", "uvicorn_config"]

_START_S: Final = 10.0


class FakeProvider:
    """A provider on a port of this machine.

    Parameters
    ----------
    script
        What it answers.
    port
        0: any that is free; it stays the same when the provider is stopped and started again.

    Examples
    --------
    >>> with FakeProvider() as provider:
    ...     provider.base_url("east").endswith("/east/v1")
    True
    """

    def __init__(self, script: ProviderScript | None = None, port: int = 0) -> None:
        self.app = FakeProviderApp(script or ProviderScript())
        self._port = port
        self._listener: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    @property
    def calls(self) -> list[Call]:
        """The last calls it got, oldest first."""
        return list(self.app.calls)

    def base_url(self, site: str = "") -> str:
        """Return the address for clients; each site can have outages of its own."""
        return f"http://127.0.0.1:{self._port}{f'/{site}' if site else ''}/v1"

    def fail(
        self,
        fault: Fault = "unavailable",
        *,
        model: str = "*",
        site: str = "*",
        for_s: float | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        """Let calls fail from now on."""
        self.app.add_outage(Outage(fault, model, site, retry_after_s=retry_after_s), for_s)

    def heal(self) -> None:
        """End what `fail` began."""
        self.app.heal()

    def start(self) -> Self:
        """Listen."""
        self._listener = listener = listening_socket(self._port)
        self._port = listener.getsockname()[1]
        self._server = server = uvicorn.Server(uvicorn_config(self.app))
        self._thread = threading.Thread(target=server.run, args=([listener],), name="fake-provider", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + _START_S
        while not server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise RuntimeError(f"the fake provider did not start on port {self._port} within {_START_S:g} s")
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """Close the port and all connections: a provider that is dead."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(_START_S)
        if self._listener is not None:
            self._listener.close()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()


def listening_socket(port: int) -> socket.socket:
    """Return a socket on loopback."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return listener


def uvicorn_config(app: FakeProviderApp) -> uvicorn.Config:
    """Return how the application is served: fast, and silent about the failures it is there for."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
    return uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=4096,
        timeout_graceful_shutdown=1,
    )
