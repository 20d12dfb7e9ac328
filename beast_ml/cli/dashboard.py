"""`beast dashboard`: what servers do, live, in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beast_ml.cli.output import say
from beast_ml.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from beast_ml.serving.dashboard.feed import DashboardConfig

__all__ = ["app"]

app = typer.Typer()


@app.command()
def dashboard(
    server: Annotated[
        list[str] | None,
        typer.Option(help="Address of a `beast serve`; several times for several. Default: serving.host and port."),
    ] = None,
    state: Annotated[
        list[Path] | None,
        typer.Option(help="State folder of a server; several times for several. Default: serving.state."),
    ] = None,
    store: Annotated[Path | None, typer.Option(help="The log store; default: logs.store in mlflow.yaml.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; beyond this machine it asks for the admin key.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0: a free one.")] = 8090,
    rows: Annotated[int, typer.Option(min=1000, help="Requests kept in memory, the newest; about 1 kB each.")] = (
        200_000
    ),
    reports_every: Annotated[
        float, typer.Option(min=0, help="Minutes between reports of drift and selection, in a process beside; 0: none.")
    ] = 15.0,
) -> None:
    """Show requests, latency, errors, cost, cache, models, budgets and the loop as they happen.

    Reads /metrics of the servers, their segments of the log and the store; writes nothing. Where the servers have keys,
    the page asks for the admin key (BEAST_ADMIN_KEY, or `admin.key` in the state folder).
    """
    from importlib.util import find_spec

    missing = [
        name for name in ("uvicorn", "starlette", "httpx2", "prometheus_client", "duckdb") if not find_spec(name)
    ]
    if missing:
        raise MissingExtraError("`beast dashboard`", "dashboard")
    import uvicorn

    from beast_ml.serving.access import is_loopback
    from beast_ml.serving.dashboard.app import dashboard_app
    from beast_ml.serving.dashboard.feed import Feed

    config = _config(server, state, store, host, rows, reports_every)
    if config.needs_key and config.admin_key is None:
        raise InputError(
            "the page must ask for the admin key, and it is not known here: set BEAST_ADMIN_KEY, or name the server's "
            "state folder with --state"
        )
    say(f"the dashboard of {', '.join(config.servers)} is at http://{host}:{port}; Ctrl+C ends it")
    application = dashboard_app(Feed(config), loopback_only=is_loopback(host))
    uvicorn.run(
        application, host=host, port=port, log_level="warning", access_log=False, timeout_graceful_shutdown=1, ws="none"
    )


def _config(
    server: list[str] | None, state: list[Path] | None, store: Path | None, host: str, rows: int, reports_every: float
) -> DashboardConfig:
    """Return what it reads, under these options and the settings."""
    from beast_ml.cli.known_prices import known_prices
    from beast_ml.cli.live_loop import loop_state
    from beast_ml.cli.server_calls import own_admin_key, server_client
    from beast_ml.serving.access import is_loopback
    from beast_ml.serving.dashboard.feed import DashboardConfig
    from beast_ml.settings import load_settings

    settings = load_settings()
    asked: list[str | None] = [*server] if server else [None]
    urls = []
    for url in asked:
        with server_client(url, None) as client:  # it checks the address, and knows our own
            urls.append(str(client.base_url).rstrip("/"))
    states = tuple(state or [settings.serving.state])
    log = store or settings.logs.store
    since = ("--store", str(log), "--since", "7d", "--json")
    reports = {name: ("report", name, *since) for name in ("drift", "selection")}
    return DashboardConfig(
        servers=tuple(urls),
        states=states,
        store=log,
        loop=loop_state(settings).path,
        prices=known_prices(settings),
        admin_key=next((key for each in states if (key := own_admin_key(each)) is not None), None),
        needs_key=not is_loopback(host) or any(_has_keys(each, settings.database_url) for each in states),
        reports=reports if reports_every else {},
        report_every_s=60.0 * reports_every,
        most_rows=rows,
    )


def _has_keys(state: Path, database_url: str | None) -> bool:
    """Return whether API keys were made, so that the page is for the operator; where nobody can tell, it is."""
    from beast_ml.errors import BeastError
    from beast_ml.operations.keys.store import KeyStore

    if database_url is None and not (state / "state.db").exists():
        return False  # looking would make one
    try:
        return bool(KeyStore.open(state, database_url).list())
    except BeastError:
        return True
