"""What the budget ledger of a deployment holds, where it has one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from beast_ml.cli.output import say
from beast_ml.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from beast_ml.operations.budgets.ledger import AccountState
    from beast_ml.operations.budgets.open_ledger import BudgetHome
    from beast_ml.settings import Settings

__all__ = ["budget_home", "ledger_accounts"]


def budget_home(settings: Settings) -> BudgetHome | None:
    """Return where the budgets of several regions are at home; None: this deployment has its own.

    Raises
    ------
    InputError
        If its address is malformed.
    """
    from beast_ml.operations.budgets.open_ledger import BudgetHome

    if settings.home_redis_url is None:
        return None
    return BudgetHome(settings.home_redis_url, settings.region == settings.home_region, settings.home_life_s)


def ledger_accounts(settings: Settings, tenant: str | None = None) -> Sequence[AccountState] | None:
    """Return what the deployment's ledger holds; None where there is none, or it is away, which is said."""
    state, home = settings.serving.state, budget_home(settings)
    is_shared = settings.database_url is not None or settings.redis_url is not None or home is not None
    if not is_shared and not (state / "state.db").exists():
        return None
    from beast_ml.operations.budgets.open_ledger import open_ledger

    ledger = open_ledger(settings.database_url, settings.redis_url, state, home)
    try:
        return ledger.accounts(tenant, ended=True)
    except UnavailableError as error:
        say(f"warning: not reconciled: {error}")
        return None
    finally:
        ledger.close()
