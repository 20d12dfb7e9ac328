"""Rules on their way from the settings to the ledger, and as a start without the ledger knows them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from beast_ml.events import events
from beast_ml.operations.budgets.ledger import Ledger, RuleBook
from beast_ml.operations.budgets.rules import BudgetRule

__all__ = ["declare", "remember", "remembered"]


def declare(ledger: Ledger, rules: Sequence[BudgetRule]) -> RuleBook:
    """Tell the ledger the rules of the settings, which it takes if they have changed; return the rules that hold."""
    declared = msgspec.json.encode(sorted(rules, key=lambda rule: rule.name)).decode()
    return ledger.set_rules(rules, declared=declared)


def remember(path: Path, book: RuleBook) -> None:
    """Keep the rules for a start without the ledger; not being able to is no reason to refuse anything."""
    aside = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(msgspec.json.encode(book.rules))
        aside.replace(path)
    except OSError as error:
        events.warning("budgets.rules_not_kept", error=str(error))


def remembered(path: Path) -> tuple[BudgetRule, ...]:
    """Return the rules that were kept; none where there are none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[BudgetRule, ...])
    except (OSError, msgspec.MsgspecError):
        return ()
