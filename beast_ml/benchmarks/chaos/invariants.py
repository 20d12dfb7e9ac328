"""What must hold whatever breaks, as functions of what was answered, logged, booked and billed.

Each returns what is wrong, in words; nothing, where all is well.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set

import msgspec

from beast_ml.benchmarks.chaos.traffic import Reply
from beast_ml.benchmarks.chaos.window import Window
from beast_ml.benchmarks.serving.load_plan import CLOSED, REFUSED, UNANSWERED
from beast_ml.operations.budgets.ledger import AccountState
from beast_ml.operations.budgets.rules import BudgetRule, rules_by_name, rules_of_account, tenant_of_account

__all__ = ["Bill", "crossed", "overrun", "shortened", "unbooked", "unlogged", "unnamed", "unnamed_throughout"]

_SHOWN = 3
_NO_STATUS = {CLOSED: "closed", REFUSED: "refused", UNANSWERED: "unanswered"}


class Bill(msgspec.Struct, frozen=True):
    """A call that the provider answered whole, as the fake one tells it: nothing may import `testing`.

    Parameters
    ----------
    number, model
        Which call it was, and of which model.
    input_tokens, output_tokens
        What is paid for.
    """

    number: int
    model: str
    input_tokens: int
    output_tokens: int

    def nano(self, prices_nano: Mapping[str, tuple[int, int]]) -> int:
        """Return what is owed, in nano-dollars; prices are of an input and of an output token, by model."""
        price_in, price_out = prices_nano[self.model]
        return self.input_tokens * price_in + self.output_tokens * price_out


def unlogged(replies: Iterable[Reply], logged: Mapping[str, str], excused: Set[str] = frozenset()) -> list[str]:
    """Return which answered requests have no row, or one of another tenant.

    Parameters
    ----------
    replies
        Requests that ended.
    logged
        Request id -> tenant, of the rows.
    excused
        Ids whose rows were damaged on purpose.
    """
    wrong = []
    for reply in replies:
        if not reply.is_answered or reply.request_id in excused:
            continue
        if not reply.request_id:
            wrong.append(f"request {reply.answered.n} was answered without an id")
        elif reply.request_id not in logged:
            wrong.append(f"{reply.request_id} of {reply.ask.tenant} was answered and is not in the log")
        elif logged[reply.request_id] != reply.ask.tenant:
            wrong.append(f"{reply.request_id} of {reply.ask.tenant} is logged as {logged[reply.request_id]}'s")
    return wrong


def crossed(replies: Iterable[Reply]) -> list[str]:
    """Return which answers are another prompt's, or were given to two tenants; a budget may have cut them short."""
    wrong: list[str] = []
    owners: dict[int, str] = {}
    for reply in replies:
        if not reply.is_answered:
            continue
        if reply.call is None:
            wrong.append(f"request {reply.answered.n} got an answer that no call gave: {reply.answered.body[:80]!r}")
            continue
        if not reply.ask.prompt.startswith(reply.echoed or "-") and reply.kind != "semantic":
            wrong.append(f"{reply.ask.prompt[:40]!r} of {reply.ask.tenant} got the answer to {reply.echoed!r:.60}")
        owner = owners.setdefault(reply.call, reply.ask.tenant)
        if owner != reply.ask.tenant:
            wrong.append(f"call {reply.call} answered both {owner} and {reply.ask.tenant}")
    return wrong


def overrun(accounts: Iterable[AccountState], rules: Iterable[BudgetRule]) -> list[str]:
    """Return which accounts hold more than their limit, or less than nothing."""
    named = rules_by_name(rules)
    wrong = []
    for each in accounts:
        rule = next((named[name] for name in rules_of_account(each.account) if name in named), None)
        used = each.settled + each.lost + each.leased
        if rule is not None and used > rule.limit_nano:
            wrong.append(f"{each.account} in {each.window}: {used} of {rule.limit_nano} nano-dollars")
        if min(each.settled, each.lost, each.leased, each.reserved) < 0 or each.reserved > each.leased:
            wrong.append(f"{each.account} in {each.window}: amounts that cannot be: {each}")
    return wrong


def unbooked(
    bills: Iterable[Bill],
    prices_nano: Mapping[str, tuple[int, int]],
    owners: Mapping[int, str],
    accounts: Iterable[AccountState],
) -> list[str]:
    """Return where the provider is owed more than the ledger holds, in all and of each tenant.

    Parameters
    ----------
    bills
        Of the provider.
    prices_nano
        Model -> nano-dollars of an input and of an output token.
    owners
        Number of a call -> who was seen with its answer; of the others only the sum is known.
    accounts
        Of tenants; every request counts in one of them.
    """
    owed: defaultdict[str, int] = defaultdict(int)
    for bill in bills:
        owed["all"] += bill.nano(prices_nano)
        if bill.number in owners:
            owed[owners[bill.number]] += bill.nano(prices_nano)
    booked: Counter[str] = Counter()
    for each in accounts:
        held = each.settled + each.lost + each.leased
        booked["all"] += held
        booked[tenant_of_account(each.account)] += held
    return [
        f"the provider is owed {nano} nano-dollars by {who}, booked are {booked[who]}"
        for who, nano in sorted(owed.items())
        if nano > booked[who]
    ]


def unnamed(replies: Iterable[Reply], may: Set[int]) -> list[str]:
    """Return requests that ended in a way that nobody named, most frequent first.

    Parameters
    ----------
    replies
        Requests that ended.
    may
        Statuses that they may have beside 2xx.
    """
    found: Counter[str] = Counter()
    for reply in replies:
        status = reply.answered.status
        if reply.is_as_wanted or status in may:
            continue
        found[f"{_NO_STATUS.get(status, status)} ({reply.kind or 'no kind'}) to {reply.ask.tenant}"] += 1
    return [f"{n} times {what}" for what, n in found.most_common()]


def unnamed_throughout(replies: Iterable[Reply], windows: Sequence[Window], may: Mapping[str, Set[int]]) -> list[str]:
    """Return what ended in a way that nobody named while nothing was broken, or after its window was checked.

    Parameters
    ----------
    replies
        All of a run.
    windows
        Of its faults; where one of them has told already that something is wrong, it is not told again.
    may
        Fault -> statuses that requests may have beside 2xx.
    """
    calm: list[Reply] = []
    late: list[str] = []
    for reply in replies:
        met = [window for window in windows if window.meets(reply)]
        if not met:
            calm.append(reply)
        elif not any(window.wrong for window in met):
            allowed = frozenset[int]().union(*(may[window.name] for window in met))
            late += [f"{what}, of {' and '.join(each.name for each in met)}" for what in unnamed([reply], allowed)]
    told = [f"{what}, while nothing was broken" for what in unnamed(calm, set())]
    return told + [f"{what}, told when that had been checked" for what in late]


def shortened(wrong: Sequence[str]) -> list[str]:
    """Return the first few, and how many more there are."""
    more = len(wrong) - _SHOWN
    return [*wrong[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]
