"""`beast budgets`: the budgets of several regions, whose home has lost its state."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from beast_ml.cli.output import JsonOption, print_json, say, stdout

if TYPE_CHECKING:
    from beast_ml.operations.budgets.ledger import Ledger

__all__ = ["app"]

app = typer.Typer(name="budgets", help="The budgets of several regions.", no_args_is_help=True)


@app.callback()
def _budgets() -> None:
    """See whom the budgets' home waits for, and go without."""


@app.command()
def awaited(as_json: JsonOption = False) -> None:
    """List the regions that the home, which has lost its state, waits for: nothing is lent before they have told."""
    with closing(_ledger()) as ledger:
        regions = ledger.awaited()
    if as_json:
        print_json({"awaited": list(regions)})
    elif regions:
        stdout.print(f"waits for {', '.join(regions)}", highlight=False, markup=False)
    else:
        say("the budgets' home waits for no region")


@app.command("go-without")
def go_without(
    region: Annotated[str, typer.Argument(help="One that is waited for and will not come back soon.")],
    as_json: JsonOption = False,
) -> None:
    """Lend again without hearing what a region knows.

    What it has spent and not told, and what its workers hold, may then be spent a second time. When it comes back it is
    counted, and nothing more lent beyond the limits.
    """
    with closing(_ledger()) as ledger:
        ledger.go_without(region)
        left = ledger.awaited()
    if as_json:
        print_json({"region": region, "awaited": list(left)})
        return
    waits = f"; it waits for {', '.join(left)} still" if left else ""
    stdout.print(f"the budgets' home goes without {region}{waits}", highlight=False, markup=False)


def _ledger() -> Ledger:
    from beast_ml.cli.ledger_accounts import budget_home
    from beast_ml.errors import InputError
    from beast_ml.operations.budgets.open_ledger import open_ledger
    from beast_ml.settings import load_settings

    settings = load_settings()
    home = budget_home(settings)
    if home is None:
        raise InputError("there is no `home_region`: budgets of one region wait for nobody")
    return open_ledger(settings.database_url, settings.redis_url, settings.serving.state, home)
