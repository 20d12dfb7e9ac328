"""What is put under load: how to start it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from beast_ml.benchmarks.serving.processes import ServerProcess, free_port

__all__ = ["Subject", "beast", "echo", "litellm"]

_LITELLM: Final = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # else it asks the internet for prices when it starts


@dataclass(frozen=True)
class Subject:
    """A server that can be started.

    Parameters
    ----------
    name
        For files and messages.
    command
        Starts it; ``{port}``, ``{workers}`` and ``{state}`` are filled in.
    environment
        Beside this process's.
    ready
        Path that answers 200 when it is ready.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: str = "/readyz"

    def start(
        self,
        folder: Path,
        *,
        workers: int = 1,
        cores: Sequence[int] | None = None,
        port: int | None = None,
        within_s: float = 60.0,
    ) -> ServerProcess:
        """Return it, ready.

        Parameters
        ----------
        folder
            For its state and its log; also its working directory.
        workers
            Processes that answer.
        cores
            It may run on; None: all.
        port
            Where it listens; None: a free one.
        within_s
            Seconds until it is ready, at most.

        Raises
        ------
        UnavailableError
            If it does not get ready.
        """
        folder.mkdir(parents=True, exist_ok=True)
        chosen = free_port() if port is None else port
        known = {"port": chosen, "workers": workers, "state": folder / "state"}
        return ServerProcess.start(
            [part.format(**known) for part in self.command],
            chosen,
            folder / f"{self.name}.log",
            environment={"OMP_NUM_THREADS": "1", **self.environment},
            ready=self.ready,
            within_s=within_s,
            cores=cores,
            workers=workers,
            folder=folder,
        )


def echo() -> Subject:
    """Return the bare echo."""
    module = "beast_ml.benchmarks.serving.echo"
    return Subject("echo", (sys.executable, "-m", module, "{port}", "{workers}"), ready="/")


def beast(router: str, environment: Mapping[str, str] | None = None) -> Subject:
    """Return `beast serve` of a bundle's folder or a registry address."""
    options = ("--router", router, "--port", "{port}", "--workers", "{workers}", "--state", "{state}")
    return Subject("beast", (sys.executable, "-m", "beast_ml.cli", "serve", *options), environment or {})


def litellm(python: Path) -> Subject:
    """Return LiteLLM's router with mocked responses, behind the same HTTP server, run by a Python that has it."""
    script = Path(__file__).with_name("litellm_app.py")
    return Subject("litellm", (str(python), "-P", str(script), "{port}"), _LITELLM, ready="/")
