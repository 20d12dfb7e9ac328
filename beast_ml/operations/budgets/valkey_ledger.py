"""A ledger in Valkey or Redis. Every call is one Lua script, so atomic; see `valkey_scripts`.

Lua counts in doubles, so amounts up to 2**53 nano-dollars (9 million USD) are exact, and larger limits are refused.
What is spent is as durable as the server: run it with ``appendonly yes`` and ``maxmemory-policy noeviction``. A server
that has lost its state is noticed, and refuses requests until the workers restart.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from beast_ml.databases import valkey_answering, valkey_client
from beast_ml.domain.money import usd
from beast_ml.errors import InputError
from beast_ml.operations.budgets import valkey_scripts
from beast_ml.operations.budgets.ledger import AccountState, Answer, Balance, Batch, RuleBook
from beast_ml.operations.budgets.rules import BudgetRule, rules_by_name, rules_of_account, tenant_of_account
from beast_ml.operations.budgets.spenders import JOURNALS, not_awaited

__all__ = ["ValkeyLedger"]

_EXACT_TO: Final = 2**53
_PREFIX: Final = "{beast:budgets}:"
_AWAY: Final = (
    "the budget ledger in Valkey does not answer ({error}): requests under a budget are refused until it does"
)


class ValkeyLedger:
    """A `Ledger` in Valkey or Redis.

    Parameters
    ----------
    client
        A `redis.Redis` that decodes nothing.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._scripts = {
            name: client.register_script(valkey_scripts.PRELUDE + getattr(valkey_scripts, name))
            for name in ("RULES", "SET_RULES", "EXCHANGE", "APPLIED", "EXPIRE", "ACCOUNTS", "AWAITED", "GO_WITHOUT")
        }

    @classmethod
    def open(cls, url: str) -> ValkeyLedger:
        """Return the ledger at an address, ``redis://host:port``; it is connected to at the first call.

        Raises
        ------
        InputError
            If the address is malformed.
        MissingExtraError
            If the driver is not installed.
        """
        return cls(valkey_client(url, "A ledger", socket_timeout=5.0, socket_connect_timeout=3.0))

    def rules(self) -> RuleBook:
        """Return the rules that hold."""
        return _book(self._run("RULES"))

    def set_rules(self, rules: Sequence[BudgetRule], declared: str | None = None) -> RuleBook:
        """Replace the rules; see `Ledger`."""
        named = rules_by_name(rules)
        for rule in rules:
            if rule.limit_nano >= _EXACT_TO:
                raise InputError(
                    f"the budget {rule.name} of {usd(rule.limit_nano):.6g} USD is more than Valkey counts exactly "
                    f"({usd(_EXACT_TO):.6g} USD): set `database_url` to a PostgreSQL"
                )
        texts = [msgspec.json.encode(rule).decode() for rule in rules]
        limits = {name: rule.limit_nano for name, rule in named.items()}
        return _book(self._run("SET_RULES", rules=texts, limits=limits, declared=declared))

    def exchange(self, batch: Batch) -> Answer:
        """Book a holder's step; see `Ledger`."""
        asked = msgspec.to_builtins(batch)
        for entry in asked["entries"]:
            entry["rules"] = rules_of_account(entry["account"])
        for each in (*asked["entries"], *asked["claims"]):
            each["tenant"] = tenant_of_account(each["account"])
        found = self._run("EXCHANGE", batch=asked, state=JOURNALS + uuid.uuid4().hex[:8])
        if found["state"] != "applied":
            return Answer(found["state"])
        balances = []
        for entry, row in zip(batch.entries, found["balances"], strict=True):
            lease, settled, lost, leased, reserved, limit, contended = map(int, row)
            balances.append(
                Balance(
                    entry.account,
                    entry.window,
                    lease,
                    settled,
                    lost,
                    leased,
                    reserved,
                    None if limit < 0 else limit,
                    bool(contended),
                )
            )
        return Answer(
            "applied",
            int(found["version"]),
            tuple(balances),
            (found["day"], found["month"]),
            tuple((int(n), name, int(actual)) for n, name, actual in found["settlements"]),
            int(found["last"]),
            float(found["clock"]),
            tuple({name: int(spent) for name, spent in each.items()} for each in found["spent"]),
            tuple(sorted(found["regions"])),
            tuple(found["awaited"]),
        )

    def applied(self, holder: str) -> int | None:
        """Return the number of a holder's last step; see `Ledger`."""
        seq = int(self._run("APPLIED", holder=holder)["seq"])
        return None if seq < 0 else seq

    def expire(self, now_s: float, ttl_s: float) -> int:
        """Count the leases of silent holders as lost; see `Ledger`."""
        return int(self._run("EXPIRE", now_s=now_s, ttl_s=ttl_s)["n"])

    def accounts(self, tenant: str | None = None, *, ended: bool = False) -> list[AccountState]:
        """Return the accounts in the windows that run, or all that are kept; see `Ledger`."""
        rows = self._run("ACCOUNTS", tenant=tenant, ended=ended)["accounts"]
        return sorted(
            (AccountState(account, window, *map(int, amounts)) for account, window, *amounts in rows),
            key=lambda each: (each.account, each.window),
        )

    def awaited(self) -> tuple[str, ...]:
        """Return the regions that have to say what they know; see `Ledger`."""
        return tuple(self._run("AWAITED")["awaited"])

    def go_without(self, region: str) -> None:
        """Lend again without hearing what a region knows; see `Ledger`."""
        if not self._run("GO_WITHOUT", region=region)["n"]:
            raise not_awaited(region, self.awaited())

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _run(self, script: str, **arguments: object) -> Any:
        with valkey_answering(_AWAY):
            answer = self._scripts[script](keys=[_PREFIX], args=[msgspec.json.encode(arguments)])
        return msgspec.json.decode(answer)


def _book(found: Any) -> RuleBook:
    rules = tuple(msgspec.json.decode(text, type=BudgetRule) for text in found["rules"])
    return RuleBook(int(found["version"]), rules, found["declared"])
