"""`beast logs`: what happens to routed-request logs before anything learns from them."""

from __future__ import annotations

import typer

from beast_ml.cli.simulate import simulate_log

__all__ = ["app"]

app = typer.Typer(name="logs", help="Ingest, check and simulate routed-request logs.", no_args_is_help=True)


@app.callback()
def _logs() -> None:
    """Ingest, check and simulate routed-request logs."""


app.command("simulate")(simulate_log)
