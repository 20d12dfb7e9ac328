# ruff: noqa: S101 - these are tests, which subclasses in tests/ run
"""What every budget ledger must do; inherit `LedgerConformance` and give it a fixture ``ledger``.

class TestMyLedger(LedgerConformance):
    @pytest.fixture
    def ledger(self):
        return MyLedger(...)
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from beast_ml.errors import InputError
from beast_ml.operations.budgets.ledger import AccountState, Balance, Batch, Charge, Entry, Ledger, LostReservation
from beast_ml.operations.budgets.rules import BudgetRule

__all__ = ["ACCOUNT", "DAY", "LedgerConformance", "state_of"]

ACCOUNT = "tenant:acme:day"
"""The account that most tests spend from."""

DAY = "2025-11-25"
"""Its window."""

_CHARGES: tuple[Charge, ...] = ((ACCOUNT, DAY),)


def state_of(ledger: Ledger, account: str = ACCOUNT) -> AccountState:
    """Return where an account stands; all zero where the ledger does not know it."""
    found = [each for each in ledger.accounts() if each.account == account]
    return found[0] if found else AccountState(account, DAY, 0, 0, 0, 0)


def _sums(ledger: Ledger) -> tuple[int, int, int]:
    state = state_of(ledger)
    return state.settled, state.lost, state.leased


def _step(ledger: Ledger, holder: str, seq: int, **of_entry: int) -> Balance:
    answer = ledger.exchange(Batch(holder, seq, 1000.0, (Entry(ACCOUNT, DAY, **of_entry),)))
    assert answer.state == "applied"
    return answer.balances[0]


class LedgerConformance:
    """The behaviour that the guard relies on; amounts are in nano-dollars."""

    @pytest.fixture(autouse=True)
    def _limit(self, ledger: Ledger) -> None:
        ledger.set_rules([BudgetRule(scope="tenant", limit_nano=1000)])

    def test_a_ledger_without_rules_has_none_and_leases_nothing(self, ledger: Ledger) -> None:
        """No rule, no limit, no lease."""
        ledger.set_rules([])
        assert ledger.rules().rules == ()
        balance = _step(ledger, "a", 1, least=1, target=10)
        assert (balance.lease, balance.limit) == (0, None)

    def test_rules_come_back_in_order_and_each_change_has_a_version(self, ledger: Ledger) -> None:
        """What was set is what is read."""
        rules = [BudgetRule(scope="user", key="acme/bob", limit_nano=5), BudgetRule(scope="global", limit_nano=2**50)]
        before = ledger.rules().version
        assert ledger.set_rules(rules).rules == tuple(rules)
        assert ledger.rules().rules == tuple(rules)
        assert ledger.rules().version > before

    def test_declared_rules_replace_only_when_the_declaration_changed(self, ledger: Ledger) -> None:
        """A restart does not undo what was set at run time."""
        one, two = BudgetRule(scope="global", limit_nano=1), BudgetRule(scope="global", limit_nano=2)
        ledger.set_rules([one], declared="one")
        ledger.set_rules([two])
        assert ledger.set_rules([one], declared="one").rules == (two,)
        assert ledger.set_rules([one], declared="one again").rules == (one,)

    def test_two_rules_for_one_budget_are_refused(self, ledger: Ledger) -> None:
        """Nobody could say which holds."""
        with pytest.raises(InputError, match="two rules"):
            ledger.set_rules([BudgetRule(scope="global", limit_nano=1), BudgetRule(scope="global", limit_nano=2)])

    def test_the_narrowest_rule_holds(self, ledger: Ledger) -> None:
        """A user's own limit goes before the tenant's for its users, and that before everybody's."""
        ledger.set_rules(
            [
                BudgetRule(scope="user", limit_nano=1),
                BudgetRule(scope="user", key="acme/*", limit_nano=2),
                BudgetRule(scope="user", key="acme/bob", limit_nano=3),
            ]
        )
        names = ("user:other/x:day", "user:acme/x:day", "user:acme/bob:day")
        answer = ledger.exchange(Batch("a", 1, 0.0, tuple(Entry(name, DAY) for name in names)))
        assert [balance.limit for balance in answer.balances] == [1, 2, 3]

    def test_a_lease_is_granted_in_full_when_needed_and_in_part_as_a_buffer(self, ledger: Ledger) -> None:
        """What is needed now comes first; a buffer takes a quarter of what is free."""
        assert _step(ledger, "a", 1, least=900, target=1000).lease == 900
        assert _step(ledger, "b", 1, target=1000).lease == 25

    def test_never_more_is_leased_than_the_limit_has(self, ledger: Ledger) -> None:
        """The invariant."""
        leases = [_step(ledger, f"h{n}", 1, least=300, target=600).lease for n in range(6)]
        assert leases == [300, 300, 300, 100, 0, 0]
        assert _sums(ledger) == (0, 0, 1000)

    def test_a_holder_that_lacks_money_makes_the_account_contended(self, ledger: Ledger) -> None:
        """The others learn that they should hold no more than they need, for a moment."""
        assert not _step(ledger, "a", 1, least=1000, target=1000).contended
        _step(ledger, "b", 1, least=1, target=1)
        assert _step(ledger, "a", 2, least=1000, target=1000).contended
        late = ledger.exchange(Batch("a", 3, 2000.0, (Entry(ACCOUNT, DAY, target=1000),)))
        assert not late.balances[0].contended

    def test_settling_moves_money_and_the_rest_goes_back(self, ledger: Ledger) -> None:
        """Spent amounts leave the lease; a smaller target gives the rest back."""
        _step(ledger, "a", 1, least=500, target=500)
        balance = _step(ledger, "a", 2, settled=120, lost=30, open=50, least=50, target=50)
        assert (balance.lease, balance.settled, balance.lost, balance.leased) == (50, 120, 30, 50)
        assert state_of(ledger).reserved == 50

    def test_a_step_sent_twice_counts_once(self, ledger: Ledger) -> None:
        """The answer to the first may have been lost on its way."""
        _step(ledger, "a", 1, least=500, target=500)
        for _ in range(3):
            assert _step(ledger, "a", 2, settled=100, least=0, target=400).lease == 400
        assert _sums(ledger) == (100, 0, 400)

    def test_a_number_that_is_not_the_next_is_stale(self, ledger: Ledger) -> None:
        """A ledger that has lost its state must not be taken for the one that leased."""
        assert ledger.exchange(Batch("a", 5, 0.0)).state == "stale"
        assert ledger.applied("a") == 0

    def test_more_than_the_lease_is_booked_as_it_is(self, ledger: Ledger) -> None:
        """A request that cost more than it reserved has cost it; nothing more is leased then."""
        _step(ledger, "a", 1, least=1000, target=1000)
        _step(ledger, "a", 2, settled=1200)
        assert _sums(ledger) == (1200, 0, 0)
        assert _step(ledger, "a", 3, least=1, target=1).lease == 0

    def test_a_lowered_limit_stops_leases_and_a_raised_one_lets_them_go_on(self, ledger: Ledger) -> None:
        """Limits change at run time."""
        _step(ledger, "a", 1, least=600, target=600)
        ledger.set_rules([BudgetRule(scope="tenant", limit_nano=500)])
        assert _step(ledger, "b", 1, least=10, target=10).lease == 0
        ledger.set_rules([BudgetRule(scope="tenant", limit_nano=700)])
        assert _step(ledger, "b", 2, least=500, target=500).lease == 100

    def test_an_earlier_window_is_never_opened_again(self, ledger: Ledger) -> None:
        """Not by a clock that jumps back; what was leased in it may still be settled there."""
        _step(ledger, "a", 1, least=10, target=10)
        later = ledger.exchange(Batch("b", 1, 0.0, (Entry(ACCOUNT, "2025-11-26", least=1, target=1),)))
        assert later.windows[0] == "2025-11-26"
        assert _step(ledger, "a", 2, settled=5, least=100, target=100).lease == 5
        asked = ledger.exchange(Batch("c", 1, 0.0, (Entry(ACCOUNT, DAY, least=1, target=1),)))
        assert (asked.balances[0].lease, asked.windows[0]) == (0, "2025-11-26")

    def test_a_window_far_ahead_of_the_ledgers_clock_is_not_opened(self, ledger: Ledger) -> None:
        """One wrong clock does not end the budgets of all others."""
        _step(ledger, "a", 1, least=10, target=10)
        ahead = ledger.exchange(Batch("b", 1, 0.0, (Entry(ACCOUNT, "9998-12-31", least=1, target=1),)))
        assert (ahead.balances[0].lease, ahead.windows[0]) == (0, DAY)
        assert 1.7e9 < ahead.clock_s < 1e11
        assert _step(ledger, "a", 2, least=20, target=20).lease == 20

    def test_a_silent_holder_loses_its_lease_and_has_it_again_when_it_comes_back(self, ledger: Ledger) -> None:
        """Money that may have been spent counts as spent; the sum does not change."""
        _step(ledger, "a", 1, open=100, least=400, target=400)
        assert ledger.expire(1010.0, 60.0) == 0
        assert ledger.expire(1061.0, 60.0) == 1
        assert ledger.expire(1061.0, 60.0) == 0
        assert _sums(ledger) == (0, 400, 0)
        assert state_of(ledger).reserved == 0
        assert _step(ledger, "a", 2, settled=50, open=10, least=10, target=350).lease == 350
        assert _sums(ledger) == (50, 0, 350)

    def test_a_last_step_settles_everything_and_the_holder_is_gone(self, ledger: Ledger) -> None:
        """Settled is booked, open is lost, the rest goes back, once."""
        _step(ledger, "a", 1, least=500, target=500)
        self.finish(ledger, "a", 2, settled=100, lost=[("r1", 30)])
        assert _sums(ledger) == (100, 30, 0)
        assert ledger.applied("a") is None
        assert ledger.exchange(Batch("a", 3, 0.0, (Entry(ACCOUNT, DAY, settled=1),))).state == "closed"
        assert _sums(ledger) == (100, 30, 0)

    def test_a_last_step_on_what_is_not_the_last_state_is_stale(self, ledger: Ledger) -> None:
        """Who replays a journal must not miss a step that arrived meanwhile."""
        _step(ledger, "a", 1, least=500, target=500)
        last = Batch("a", 1, 0.0, (Entry(ACCOUNT, DAY, settled=1),), final=True)
        assert ledger.exchange(last).state == "stale"

    def test_a_lease_of_which_nobody_knows_the_use_is_lost_whole(self, ledger: Ledger) -> None:
        """After a crash of the machine."""
        _step(ledger, "a", 1, least=500, target=500)
        ledger.exchange(Batch("a", 2, 0.0, (Entry(ACCOUNT, DAY, settled=100),), final=True, lose_rest=True))
        assert _sums(ledger) == (100, 400, 0)

    def test_an_expired_holder_can_be_finished(self, ledger: Ledger) -> None:
        """A host that was away comes back and replays its journals."""
        _step(ledger, "a", 1, least=500, target=500)
        ledger.expire(5000.0, 60.0)
        self.finish(ledger, "a", 2, settled=100, lost=[])
        assert _sums(ledger) == (100, 0, 0)

    def test_a_late_settlement_corrects_a_lost_reservation_once(self, ledger: Ledger) -> None:
        """However often it is told."""
        _step(ledger, "a", 1, least=500, target=500)
        self.finish(ledger, "a", 2, settled=0, lost=[("r1", 300), ("r2", 100)])
        for seq in (1, 2, 3):
            ledger.exchange(Batch("b", seq, 0.0, settlements=(("r1", 120),)))
        assert _sums(ledger) == (120, 100, 0)

    def test_a_settlement_that_came_before_the_loss_settles_it(self, ledger: Ledger) -> None:
        """Another worker was told; this one died before it heard of it."""
        _step(ledger, "a", 1, least=500, target=500)
        ledger.exchange(Batch("b", 1, 0.0, settlements=(("r1", 120),)))
        self.finish(ledger, "a", 2, settled=0, lost=[("r1", 300)])
        assert _sums(ledger) == (120, 0, 0)
        ledger.exchange(Batch("b", 2, 0.0, settlements=(("r1", 120),)))
        assert _sums(ledger) == (120, 0, 0)

    def test_what_is_told_of_a_lost_reservation_counts_up_to_what_was_reserved(self, ledger: Ledger) -> None:
        """Whether it was told before or after it was lost."""
        _step(ledger, "a", 1, least=400, target=400)
        ledger.exchange(Batch("b", 1, 0.0, settlements=(("r1", 10**15),)))
        self.finish(ledger, "a", 2, settled=0, lost=[("r1", 300), ("r2", 100)])
        assert _sums(ledger) == (300, 100, 0)
        ledger.exchange(Batch("b", 2, 0.0, settlements=(("r2", 10**15),)))
        assert _sums(ledger) == (400, 0, 0)

    def test_settlements_reach_the_holder_that_has_the_reservation(self, ledger: Ledger) -> None:
        """Each sees those after the last it saw; a consumed one is gone, the first amount told counts."""
        ledger.exchange(Batch("b", 1, 0.0, settlements=(("r1", 5), ("r2", 6))))
        ledger.exchange(Batch("b", 2, 0.0, settlements=(("r1", 7), ("r3", 8))))
        answer = ledger.exchange(Batch("a", 1, 0.0))
        assert [(name, actual) for _, name, actual in answer.settlements] == [("r1", 5), ("r2", 6), ("r3", 8)]
        again = ledger.exchange(Batch("a", 2, 0.0, consumed=(answer.settlements[0][0],), since=answer.last))
        assert (again.settlements, again.last) == ((), answer.last)
        others = ledger.exchange(Batch("c", 1, 0.0))
        assert [name for _, name, _ in others.settlements] == ["r2", "r3"]

    def test_a_tenant_sees_its_own_accounts_only(self, ledger: Ledger) -> None:
        """Names that hold the separators do not mix them up."""
        names = ("global:*:day", "tenant:acme:day", "user:acme/bob:day", "user:ac%2Fme/bob:day", "tenant:other:day")
        ledger.set_rules([BudgetRule(scope=scope, limit_nano=1000) for scope in ("global", "tenant", "user")])
        ledger.exchange(Batch("a", 1, 0.0, tuple(Entry(name, DAY, least=1, target=1) for name in names)))
        assert [each.account for each in ledger.accounts("acme")] == ["tenant:acme:day", "user:acme/bob:day"]
        assert [each.account for each in ledger.accounts("ac/me")] == ["user:ac%2Fme/bob:day"]
        assert len(ledger.accounts()) == len(names)

    def test_a_window_that_is_over_is_told_where_it_is_asked_for(self, ledger: Ledger) -> None:
        """What was spent yesterday can still be reconciled today; what runs is all that is told otherwise."""
        later = "2025-11-26"
        ledger.exchange(Batch("a", 1, 0.0, (Entry(ACCOUNT, DAY, least=7, target=7),)))
        ledger.exchange(Batch("a", 2, 0.0, (Entry(ACCOUNT, DAY, settled=7),)))
        ledger.exchange(Batch("a", 3, 0.0, (Entry(ACCOUNT, later, least=5, target=5),)))
        assert [each.window for each in ledger.accounts("acme")] == [later]
        told = ledger.accounts("acme", ended=True)
        assert [(each.window, each.settled, each.leased) for each in told] == [(DAY, 7, 0), (later, 0, 5)]
        assert ledger.accounts("other", ended=True) == []

    def test_large_amounts_are_exact(self, ledger: Ledger) -> None:
        """To the last nano-dollar of millions."""
        limit = 2**53 - 1
        ledger.set_rules([BudgetRule(scope="tenant", limit_nano=limit)])
        assert _step(ledger, "a", 1, least=limit, target=limit).lease == limit
        _step(ledger, "a", 2, settled=limit - 3, least=2, target=2)
        assert _sums(ledger) == (limit - 3, 0, 2)

    def test_many_accounts_fit_in_one_step(self, ledger: Ledger) -> None:
        """As many as a busy second has users."""
        ledger.set_rules([BudgetRule(scope="user", limit_nano=10)])
        entries = tuple(Entry(f"user:acme/u{n}:day", DAY, least=1, target=1) for n in range(1500))
        answer = ledger.exchange(Batch("a", 1, 0.0, entries))
        assert [balance.lease for balance in answer.balances] == [1] * 1500

    @staticmethod
    def finish(ledger: Ledger, holder: str, seq: int, settled: int, lost: Sequence[tuple[str, int]]) -> None:
        """Take a holder's last step."""
        entry = Entry(ACCOUNT, DAY, settled=settled, lost=sum(upper for _, upper in lost))
        reservations = tuple(LostReservation(name, upper, _CHARGES) for name, upper in lost)
        assert ledger.exchange(Batch(holder, seq, 0.0, (entry,), reservations, final=True)).state == "applied"
