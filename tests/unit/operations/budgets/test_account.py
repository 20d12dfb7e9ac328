import pytest

from beast_ml.operations.budgets.account import Account
from beast_ml.operations.budgets.ledger import Balance, Entry
from beast_ml.operations.budgets.rules import BudgetRule

COST = 1_000_000
TICK_S = 0.001


class Traffic:
    """Reserves as a guard does, beside a ledger that grants everything after a while."""

    def __init__(self, limit: int, requests_per_s: float, ledger_s: float) -> None:
        self.account = Account("tenant:acme:day", "2026-11-30", BudgetRule(scope="tenant", limit_nano=limit))
        self.requests_per_s, self.ledger_s, self.limit = requests_per_s, ledger_s, limit
        self.now = self.ticked_at = self.asked_at = 0.0
        self.next_request_at = 0.0
        self.answer: tuple[float, Entry] | None = None
        self.poked = False
        self.n_waiting = 0

    def run(self, seconds: float, *, has_ledger: bool = True) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += TICK_S
            if has_ledger:
                self.step()
            if self.now >= self.next_request_at:
                self.next_request_at += 1 / self.requests_per_s
                self.reserve()

    def step(self) -> None:
        account = self.account
        if self.answer is not None and self.now >= self.answer[0]:
            entry = self.answer[1]
            held = Balance(
                account.name, account.window, entry.target, 0, 0, entry.target, entry.open, self.limit, contended=False
            )
            account.apply(entry, held, self.now)
            account.needed, self.answer = 0, None
            waiting, self.n_waiting = self.n_waiting, 0
            for _ in range(waiting):
                self.reserve()
        if self.answer is None and (self.poked or self.now >= self.asked_at + 1.0):
            account.tick(self.now - self.ticked_at)
            self.ticked_at = self.asked_at = self.now
            self.poked = False
            entry = account.entry(self.now, current=True)
            self.answer = None if entry is None else (self.now + self.ledger_s, entry)

    def reserve(self) -> None:
        account = self.account
        if account.available < COST:
            account.refusal(COST, self.now)
            account.needed += COST
            self.n_waiting += 1
            self.poked = True
            return
        account.available -= COST
        account.open += COST
        account.reserved_since += COST
        account.touched_at = self.now
        self.poked |= account.available < account.low


@pytest.mark.parametrize("ledger_s", [0.005, 0.03, 0.1])
@pytest.mark.parametrize("requests_per_s", [20.0, 100.0, 900.0])
@pytest.mark.parametrize(("served_s", "outlived_s"), [(0.4, 20.0), (3.0, 45.0)])
def test_a_young_worker_goes_on_without_its_ledger(ledger_s, requests_per_s, served_s, outlived_s):
    traffic = Traffic(10**6 * COST, requests_per_s, ledger_s)
    traffic.run(served_s)
    traffic.run(outlived_s, has_ledger=False)
    assert traffic.n_waiting == 0


def test_after_a_pause_a_worker_is_as_young_as_at_first():
    traffic = Traffic(10**6 * COST, 100.0, 0.03)
    traffic.run(3.0)
    traffic.next_request_at = traffic.now + 2 * Account.idle_s
    traffic.run(2 * Account.idle_s - 0.1)
    assert traffic.account.lease == traffic.account.open
    traffic.run(0.5)
    traffic.run(20.0, has_ledger=False)
    assert traffic.n_waiting == 0


@pytest.mark.parametrize("requests_per_s", [20.0, 900.0])
def test_what_is_held_ahead_is_a_small_part_of_a_small_budget(requests_per_s):
    traffic = Traffic(20_000 * COST, requests_per_s, 0.01)
    traffic.run(3.0)
    account = traffic.account
    for_the_next_seconds = 4 * requests_per_s * COST + 2 * COST
    assert 0 < account.available <= max(2 * traffic.limit // Account.ahead_share, 2 * for_the_next_seconds)
