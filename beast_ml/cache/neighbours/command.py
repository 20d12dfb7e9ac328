"""How the process is started, by workers that import neither onnxruntime nor FAISS."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from beast_ml.errors import InputError

__all__ = ["NeighbourFiles", "Promise", "check_socket", "neighbour_arguments"]

_SOCKET_PATH_BYTES: Final = 107  # what the operating system has room for


def check_socket(path: Path) -> None:
    """Raise InputError if a path is too long for a socket."""
    if len(os.fsencode(path)) > _SOCKET_PATH_BYTES:
        raise InputError(f"{path} is too long for a socket (more than {_SOCKET_PATH_BYTES} bytes): move serving.state")


@dataclass(frozen=True)
class NeighbourFiles:
    """The files of the process, in a host's state folder.

    Parameters
    ----------
    state
        The folder.
    """

    state: Path

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.state.absolute() / "near.sock"

    @property
    def index(self) -> Path:
        """What it keeps of its index."""
        return self.state.absolute() / "near.index"

    @property
    def thresholds(self) -> Path:
        """What verified lookups have taught it."""
        return self.state.absolute() / "near.thresholds"

    def check(self) -> None:
        """Raise InputError if the folder is too deep for a socket."""
        check_socket(self.socket)


@dataclass(frozen=True)
class Promise:
    """What false-hit rate the semantic cache keeps, and how it is watched.

    Parameters
    ----------
    epsilon, delta
        Wrong hits over lookups, at most, with confidence 1 - delta; see `beast_ml.cache.verifier.risk.RiskTarget`.
    audit_share
        Least probability with which a lookup is verified that may be at all.
    """

    epsilon: float = 0.01
    delta: float = 0.02
    audit_share: float = 0.05


def neighbour_arguments(
    cache: Path, state: Path, promise: Promise | None = None, *, threads: int = 1
) -> tuple[str, ...]:
    """Return the interpreter's arguments of the process; whoever starts it hands it a pipe, and starts it again.

    Parameters
    ----------
    cache
        Folder of the trained cache, or a link to it; when the link is changed the process ends, to be started anew.
    state
        Folder for its socket and index, of this host.
    promise
        What it keeps.
    threads
        That embed a text together; more than one only where there are cores to spare.
    """
    files, kept = NeighbourFiles(state), promise or Promise()
    return (
        *("-m", "beast_ml.cache.neighbours", "--cache", str(cache.absolute())),
        *("--socket", str(files.socket), "--index", str(files.index), "--thresholds", str(files.thresholds)),
        *("--epsilon", str(kept.epsilon), "--delta", str(kept.delta), "--audit-share", str(kept.audit_share)),
        *("--threads", str(threads)),
    )
