"""Budgets that hold: spending is reserved before it happens, out of leases on a shared ledger, in exact integers."""

from beast_ml.operations.budgets.guard import BudgetGuard
from beast_ml.operations.budgets.ledger import Ledger
from beast_ml.operations.budgets.open_ledger import open_ledger
from beast_ml.operations.budgets.recovery import recover
from beast_ml.operations.budgets.rules import BudgetRule, BudgetStatus

__all__ = ["BudgetGuard", "BudgetRule", "BudgetStatus", "Ledger", "open_ledger", "recover"]
