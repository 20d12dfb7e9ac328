"""`beast cache`: the semantic cache."""

from __future__ import annotations

import typer

from beast_ml.cli.cache_build import build
from beast_ml.cli.cache_evaluate import evaluate
from beast_ml.cli.cache_invalidate import cache_invalidate
from beast_ml.cli.cache_lives import learn_lives
from beast_ml.cli.cache_stats import cache_stats
from beast_ml.cli.cache_warm import warm_cache

__all__ = ["app"]

app = typer.Typer(name="cache", help="The semantic cache.", no_args_is_help=True)


@app.callback()
def _cache() -> None:
    """Build, look into and measure the semantic cache."""


app.command()(build)
app.command()(evaluate)
app.command("warm")(warm_cache)
app.command("lives")(learn_lives)
app.command("stats")(cache_stats)
app.command("invalidate")(cache_invalidate)
