"""`beast models`: the candidate models of a router, from the first look at one to its last request."""

from __future__ import annotations

import typer

from beast_ml.cli.models_add import add_model
from beast_ml.cli.models_compare import compare_models
from beast_ml.cli.models_health import models_health
from beast_ml.cli.models_retire import retire_model

__all__ = ["app"]

app = typer.Typer(name="models", help="The candidate models of a router.", no_args_is_help=True)


@app.callback()
def _models() -> None:
    """Add, compare, watch and retire the candidate models of a router."""


app.command("add")(add_model)
app.command("retire")(retire_model)
app.command("compare")(compare_models)
app.command("health")(models_health)
