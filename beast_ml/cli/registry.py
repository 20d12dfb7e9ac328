"""`beast promote`, `beast rollback`, `beast ui`: which registered router serves, and a look at all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from beast_ml.cli.output import JsonOption, print_json, print_table, stdout
from beast_ml.cli.told_to_stop import stopped_like_ctrl_c

if TYPE_CHECKING:
    from beast_ml.registry.config import TrackingConfig

__all__ = ["app"]

app = typer.Typer()


@app.command()
def promote(
    version: Annotated[
        int | None, typer.Option(min=1, help="Version of beast-router; default: the newest that was trained.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a router champion if its evidence passes the gates; otherwise keep, or fall back to, what is proven."""
    from beast_ml.errors import PromotionRefusedError
    from beast_ml.registry.gates import Gates
    from beast_ml.registry.promotion import promote as promote_router
    from beast_ml.settings import load_settings

    gates = Gates(**load_settings().gates.model_dump())
    try:
        outcome = promote_router(_tracking(), version, gates).to_dict()
    except PromotionRefusedError as error:
        _show(dict(error.details), as_json, refused=True)
        raise
    _show(outcome, as_json)


@app.command()
def rollback(as_json: JsonOption = False) -> None:
    """Make the previous champion champion again; repeated, walk back through all that served."""
    from beast_ml.registry.promotion import rollback as roll_back

    _show(roll_back(_tracking()).to_dict(), as_json)


@app.command()
def ui(port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 5000) -> None:
    """Open the MLflow UI on the configured store, on this machine only, until Ctrl+C."""
    from beast_ml.registry.ui import training_page, ui_server

    config = _tracking()
    if config.is_server:
        stdout.print(f"MLflow UI at {training_page(config.uri, config.experiment)}", highlight=False, markup=False)
        return
    try:
        with stopped_like_ctrl_c(), ui_server(config, port) as server:
            page = training_page(server.url, config.experiment)
            stdout.print(f"MLflow UI at {page} (Ctrl+C stops it)", highlight=False, markup=False)
            raise typer.Exit(server.wait())
    except KeyboardInterrupt:
        stdout.print("stopped")


def _tracking() -> TrackingConfig:
    from beast_ml.registry.config import TrackingConfig
    from beast_ml.settings import load_settings

    return TrackingConfig(**load_settings().tracking.model_dump())


def _show(outcome: dict[str, Any], as_json: bool, *, refused: bool = False) -> None:
    if as_json:
        print_json(outcome)
        return
    if outcome["evidence"]:
        import msgspec

        from beast_ml.registry.evidence import Evidence

        rows = msgspec.convert(outcome["evidence"], Evidence).rows()
        print_table("Evidence", ("on test queries", "mean [95% interval]"), rows)
    if outcome["gates"]:
        checks = outcome["gates"]
        gates = [(c["name"], "passed" if c["passed"] else "FAILED", c["got"], c["needed"]) for c in checks]
        caption = "; ".join(f"{c['name']}: {c['why']}" for c in checks if not c["passed"]) or None
        print_table("Gates", ("gate", "", "got", "needed"), gates, caption=caption)
    if not refused:  # else the error says it
        stdout.print(f"{outcome['sentence']}.", highlight=False, markup=False)
