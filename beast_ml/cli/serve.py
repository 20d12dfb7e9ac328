"""`beast serve`: the runtime over HTTP."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer()


@app.command()
def serve(
    router: Annotated[
        str | None, typer.Option(help="Bundle folder, or registry address whose alias is followed.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen at; beyond this machine only with keys.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="To listen at; 0: any that is free.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one a core.")] = None,
    state: Annotated[Path | None, typer.Option(help="Folder of what must outlive a restart.")] = None,
) -> None:
    """Decide per request over HTTP, log every request, and follow the registry.

    Options win over `serving:` in mlflow.yaml. SIGTERM drains and stops, SIGHUP replaces the workers one by one.
    On this machine no key is needed until the first one is made (`beast keys create TENANT`).
    """
    given = {"router": router, "host": host, "port": port, "workers": workers, "state": state}
    told = {f"BEAST_SERVING__{name.upper()}": str(value) for name, value in given.items() if value is not None}
    # In place of this process: workers are forked from it, and need nothing of the command line.
    environment = os.environ | told
    os.execve(sys.executable, [sys.executable, "-m", "beast_ml.cli.serving_process"], environment)  # noqa: S606  no shell, no word of a user's
