"""What the log says was spent, and a ledger that says no less: money that was spent does not come back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import ROUND_CEILING, Decimal
from typing import NamedTuple

import sqlalchemy as sa

from beast_ml.logs.store import LogStore
from beast_ml.operations.budgets.booking import lose_lease
from beast_ml.operations.budgets.ledger import Charge
from beast_ml.operations.budgets.region_rows import forget_holder
from beast_ml.operations.budgets.rules import account_names, rules_of_account, window_end
from beast_ml.operations.budgets.sql_store import SqlStore, ledger_engine
from beast_ml.operations.budgets.sql_tables import HOLDERS, LEASES

__all__ = ["Spent", "raise_spent", "spent_by_day"]

_SPENT: str = """
    SELECT tenant_id, user_id, strftime(received_at, '%Y-%m-%d') AS day,
        sum(CAST(CASE WHEN cost_usd IS NOT NULL THEN cost_usd WHEN chosen_model IS NOT NULL THEN predicted_cost_usd END
            AS DECIMAL(38, 12))) AS usd
    FROM log GROUP BY ALL HAVING usd > 0"""


class Spent(NamedTuple):
    """What a tenant's user spent on a day (UTC), in nano-dollars."""

    tenant: str
    user: str | None
    day: str
    nano: int


def spent_by_day(store: LogStore) -> list[Spent]:
    """Return what was spent, as a log has it; what nobody has told the cost of counts as it was predicted."""
    rows = store.sql(_SPENT).to_pylist()
    return [
        Spent(row["tenant_id"], row["user_id"], row["day"], _nano(row["usd"])) for row in rows if row["usd"] is not None
    ]


def raise_spent(url: str, spent: Iterable[Spent], now_s: float) -> int:
    """Have a ledger say that at least so much was spent, and return how many accounts that changed.

    Its holders are no more, and nobody knows what they spent of their leases: all of these count as spent. What a
    region had of its home's when it was backed up, it may have given back since: the home is to lend anew.

    Parameters
    ----------
    url
        Of the ledger, ``sqlite:///path`` or ``postgresql://...``.
    spent
        What the log says.
    now_s
        The time, seconds since 1970.

    Raises
    ------
    UnavailableError
        If the database does not answer.
    """
    store = SqlStore(ledger_engine(url))
    try:
        with store.writing() as rows:
            rules = {rule.name for rule in rows.rules().rules}
            logged: Counter[Charge] = Counter()
            for each in spent:
                for account in account_names(each.tenant, each.user):
                    if rules.intersection(rules_of_account(account)):
                        window = each.day if account.endswith(":day") else each.day[: len("2026-11")]
                        logged[account, window] += each.nano
            holders = rows.connection.scalars(sa.select(LEASES.c.holder).distinct()).all()
            leases = [(charge, lease) for holder in holders for charge, lease in rows.leases(holder).items()]
            accounts = rows.accounts(set(logged) | {charge for charge, _ in leases})
            n_raised = 0
            for charge, nano in logged.items():
                if charge not in accounts and window_end(charge[1]).timestamp() <= now_s:
                    continue  # over, and the ledger has forgotten it
                row = accounts[charge]
                missing = nano - row.settled - row.lost  # what was lost stands for requests of the log
                row.settled += max(missing, 0)
                n_raised += missing > 0
            for charge, lease in leases:
                n_raised += lease.amount > 0
                lose_lease(accounts[charge], lease)
            rows.store_accounts(accounts, now_s)
            rows.connection.execute(LEASES.delete())
            rows.connection.execute(HOLDERS.delete())
            forget_holder(rows)
            return n_raised
    finally:
        store.close()


def _nano(usd: Decimal) -> int:
    return int((usd * 10**9).to_integral_value(ROUND_CEILING))
