"""What the budget ledger of a deployment holds, where it has one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from beast_ml.cli.output import say
from beast_ml.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from beast_ml.operations.budgets.ledger import AccountState
    from beast_ml.settings import Settings

__all__ = ["ledger_accounts"]


def ledger_accounts(settings: Settings, tenant: str | None = None) -> Sequence[AccountState] | None:
    """Return what the deployment's ledger holds; None where there is none, or it is away, which is said."""
    state = settings.serving.state
    if settings.database_url is None and settings.redis_url is None and not (state / "state.db").exists():
        return None
    from beast_ml.operations.budgets.open_ledger import open_ledger

    ledger = open_ledger(settings.database_url, settings.redis_url, state)
    try:
        return ledger.accounts(tenant, ended=True)
    except UnavailableError as error:
        say(f"warning: not reconciled: {error}")
        return None
    finally:
        ledger.close()
