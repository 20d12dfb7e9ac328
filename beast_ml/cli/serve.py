"""`beast serve`: the runtime over HTTP."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beast_ml.cli.output import say
from beast_ml.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from beast_ml.settings import Settings

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
    from importlib.util import find_spec

    from beast_ml.cli.serving_process import cache_config
    from beast_ml.settings import load_settings

    if any(find_spec(name) is None for name in ("uvicorn", "starlette", "sqlalchemy", "prometheus_client", "openai")):
        raise MissingExtraError("`beast serve`", "serve")
    given = {"router": router, "host": host, "port": port, "workers": workers, "state": state}
    given = {name: value for name, value in given.items() if value is not None}
    settings = load_settings()
    settings = settings.model_copy(update={"serving": settings.serving.model_copy(update=given)})
    serving = settings.serving
    _check_reach(settings)
    cache_config(settings)  # it may lack its secret
    if not serving.router.startswith("models:/") and not Path(serving.router).is_dir():
        raise InputError(f"no bundle folder {serving.router}: name a folder, or a registry address such as models:/...")
    say(
        f"serving {serving.router} at http://{serving.host}:{serving.port} with {serving.workers} worker(s); "
        f"state in {serving.state}"
    )
    # In place of this process: workers are forked from it, and need nothing of the command line.
    environment = os.environ | {f"BEAST_SERVING__{name.upper()}": str(value) for name, value in given.items()}
    os.execve(sys.executable, [sys.executable, "-m", "beast_ml.cli.serving_process"], environment)  # noqa: S606  no shell, no word of a user's


def _check_reach(settings: Settings) -> None:
    """Refuse to serve the network without keys."""
    from beast_ml.operations.keys.store import KeyStore
    from beast_ml.serving.access import is_loopback

    host = settings.serving.host
    if not is_loopback(host) and not KeyStore.open(settings.serving.state, settings.database_url).list():
        raise InputError(
            f"`--host` == {host!r} can be reached from elsewhere, and no API key was made: "
            "run `beast keys create TENANT` first, or listen at 127.0.0.1"
        )
