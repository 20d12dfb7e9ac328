# ruff: noqa: S101 - these are tests, which subclasses in tests/ run
"""What a budget ledger must do as the home of several regions; inherit `HomeConformance` as `LedgerConformance`."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from beast_ml.errors import InputError
from beast_ml.operations.budgets.ledger import Answer, Batch, Claim, Entry, Ledger, LostReservation
from beast_ml.operations.budgets.rules import BudgetRule
from beast_ml.testing.ledger_conformance import ACCOUNT, DAY, state_of

__all__ = ["HomeConformance"]

_BEFORE = "@before"
"""Name of the home's state before it was lost, with the spending of its own workers."""


def _step(ledger: Ledger, region: str, seq: int, **of_entry: int) -> Answer:
    answer = ledger.exchange(Batch(region, seq, 1000.0, (Entry(ACCOUNT, DAY, **of_entry),), region=region))
    assert answer.state == "applied"
    return answer


def _claim(
    ledger: Ledger,
    region: str,
    seq: int,
    spent: Mapping[str, int],
    *,
    lost: int = 0,
    lease: int = 0,
    others: tuple[str, ...] = (),
    more: bool = False,
    windows: tuple[str, str] = (DAY, ""),
) -> Answer:
    claims = (Claim(ACCOUNT, DAY, {region: 0, **spent}, lost, lease),)
    return ledger.exchange(
        Batch(region, seq, 1000.0, region=region, claims=claims, claims_more=more, others=others, windows=windows)
    )


def _spend(ledger: Ledger, worker: str, amount: int) -> None:
    ledger.exchange(Batch(worker, 1, 1000.0, (Entry(ACCOUNT, DAY, least=amount, target=amount),)))
    ledger.exchange(Batch(worker, 2, 1000.0, (Entry(ACCOUNT, DAY, settled=amount),)))


def _spent(ledger: Ledger) -> int:
    (state,) = [each for each in ledger.accounts(ended=True) if each.account == ACCOUNT]
    assert min(state.settled, state.lost, state.leased) >= 0
    return state.settled + state.lost


class HomeConformance:
    """That what regions know is counted again, once; amounts are in nano-dollars."""

    @pytest.fixture(autouse=True)
    def _limit(self, ledger: Ledger) -> None:
        ledger.set_rules([BudgetRule(scope="tenant", limit_nano=1000)])

    def test_a_region_is_told_who_spent_what(self, ledger: Ledger) -> None:
        """Itself, the other regions, and the home's workers under the name of its state."""
        _spend(ledger, "worker", 70)
        for region, amount in (("us", 100), ("ap", 50)):
            _step(ledger, region, 1, least=200, target=200)
            _step(ledger, region, 2, settled=amount - 10, lost=10, least=20, target=20)
        answer = _step(ledger, "us", 3)
        (state,) = {*answer.spent[0]} - {"us", "ap"}
        assert answer.spent == ({"us": 100, "ap": 50, state: 70},)
        assert state.startswith("@")
        assert (answer.regions, answer.awaited) == (("ap", "us"), ())

    def test_what_regions_know_counts_once_whoever_tells_it_and_however_often(self, ledger: Ledger) -> None:
        """Of each spender the most that anybody knows."""
        for seq in (1, 1, 2):
            _claim(ledger, "us", seq, {"us": 300, "ap": 80, _BEFORE: 40})
        assert _spent(ledger) == 420
        _claim(ledger, "ap", 1, {"us": 250, "ap": 100, _BEFORE: 60})
        assert _spent(ledger) == 460
        _step(ledger, "us", 3, least=30, target=30)
        _step(ledger, "us", 4, settled=30)
        assert _step(ledger, "us", 5).spent[0]["us"] == 330
        assert _spent(ledger) == 490

    def test_a_home_that_lost_nothing_counts_nothing_again(self, ledger: Ledger) -> None:
        """It is a region that went back to an earlier state."""
        _spend(ledger, "worker", 70)
        _step(ledger, "us", 1, least=200, target=200)
        told = _step(ledger, "us", 2, settled=100).spent[0]
        ledger.exchange(Batch("us anew", 1, 0.0, region="us", claims=(Claim(ACCOUNT, DAY, told),)))
        assert _spent(ledger) == 170

    def test_a_home_that_went_back_to_an_earlier_state_is_told_what_its_own_workers_spent_since(
        self, ledger: Ledger
    ) -> None:
        """Under the same name of its state."""
        _spend(ledger, "worker", 70)
        (state,) = {*_step(ledger, "us", 1).spent[0]} - {"us"}
        ledger.exchange(Batch("us anew", 1, 0.0, region="us", claims=(Claim(ACCOUNT, DAY, {"us": 5, state: 90}),)))
        assert _spent(ledger) == 95

    def test_what_workers_of_a_region_hold_is_its_own_again(self, ledger: Ledger) -> None:
        """Nobody else is lent it."""
        _claim(ledger, "us", 1, {"us": 300}, lease=600)
        assert state_of(ledger).leased == 600
        assert _step(ledger, "ap", 1, least=200, target=200).balances[0].lease == 100
        assert _step(ledger, "us", 2, settled=250, least=350, target=350).balances[0].lease == 350
        assert _spent(ledger) == 550

    def test_nothing_is_lent_before_all_regions_have_said_what_they_know(self, ledger: Ledger) -> None:
        """To no region, nor to the home's own workers."""
        assert _claim(ledger, "us", 1, {"us": 100}, others=("ap", "us"), more=True).awaited == ("ap", "us")
        _claim(ledger, "us", 2, {"us": 100}, others=("ap", "us"))
        assert ledger.awaited() == ("ap",)
        assert _step(ledger, "us", 3, least=10, target=10).balances[0].lease == 0
        at_home = ledger.exchange(Batch("worker", 1, 0.0, (Entry(ACCOUNT, DAY, least=10, target=10),)))
        assert at_home.balances[0].lease == 0
        _claim(ledger, "ap", 1, {"ap": 850}, others=("us",))
        assert ledger.awaited() == ()
        assert _step(ledger, "us", 4, least=100, target=100).balances[0].lease == 50

    def test_one_can_be_gone_without(self, ledger: Ledger) -> None:
        """Then others that name it do not bring it back; itself it may."""
        _claim(ledger, "us", 1, {"us": 100}, others=("ap", "sa"))
        ledger.go_without("ap")
        with pytest.raises(InputError, match=r"'ap', but for sa"):
            ledger.go_without("ap")
        _claim(ledger, "sa", 1, {}, others=("ap", "us"))
        assert ledger.awaited() == ()
        assert _step(ledger, "us", 2, least=10, target=10).balances[0].lease == 10
        _claim(ledger, "ap", 1, {"ap": 900}, others=("us",))
        assert (_spent(ledger), ledger.awaited()) == (1000, ())

    def test_what_is_lost_can_be_settled_for_less_afterwards(self, ledger: Ledger) -> None:
        """Whether the region itself told of it first, or another one."""
        _claim(ledger, "ap", 1, {"us": 130})
        _claim(ledger, "us", 1, {"us": 130}, lost=30)
        assert (state_of(ledger).settled, state_of(ledger).lost) == (100, 30)
        _step(ledger, "us", 2, settled=12, lost=-30)
        assert (state_of(ledger).settled, state_of(ledger).lost) == (112, 0)

    @pytest.mark.parametrize("first", ["journal", "region"])
    def test_what_journals_of_the_homes_workers_have_is_not_counted_beside_what_regions_heard(
        self, ledger: Ledger, first: str
    ) -> None:
        """It is part of it, or it of that."""

        def replay() -> None:
            lost = (LostReservation("r1", 10, ((ACCOUNT, DAY),)),)
            entries = (Entry(ACCOUNT, DAY, settled=190, lost=10),)
            ledger.exchange(Batch("dead", 1, 0.0, entries, lost, final=True, forgotten=True))

        if first == "journal":
            replay()
        _claim(ledger, "us", 1, {"us": 100, _BEFORE: 150})
        if first == "region":
            replay()
        assert _spent(ledger) == 300
        _claim(ledger, "ap", 1, {"ap": 1, _BEFORE: 220})
        assert _spent(ledger) == 321
        assert _step(ledger, "us", 2).spent[0][_BEFORE] == 220

    def test_windows_that_were_over_stay_over(self, ledger: Ledger) -> None:
        """Whoever's clock is late."""
        _claim(ledger, "us", 1, {"us": 100}, windows=("2025-11-26", "2025-11"))
        answer = _step(ledger, "us", 2, least=10, target=10)
        assert (answer.balances[0].lease, answer.windows) == (0, ("2025-11-26", "2025-11"))
