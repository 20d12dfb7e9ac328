import asyncio

import pytest

from beast_ml.errors import BudgetExceededError, InputError, UnavailableError
from beast_ml.operations.backup.spent import raise_spent
from beast_ml.operations.budgets.known_rules import declare
from beast_ml.operations.budgets.ledger import Batch, Entry
from beast_ml.operations.budgets.open_ledger import BudgetHome, open_ledger
from beast_ml.operations.budgets.region_ledger import RegionLedger
from beast_ml.operations.budgets.region_steps import RegionSteps
from beast_ml.operations.budgets.rules import BudgetRule
from beast_ml.operations.budgets.sql_ledger import SqlLedger
from beast_ml.operations.budgets.valkey_ledger import ValkeyLedger
from beast_ml.testing.ledger_conformance import state_of
from beast_ml.testing.region_machine import LIFE_S, Region

ACCOUNT, DAY = "tenant:acme:day", "2026-01-01"


def reserve(region, name, upper):
    asyncio.run(region.guard.reserve(name, "acme", None, upper))


def reserve_helped(region, name, upper):
    with pytest.raises(BudgetExceededError):
        reserve(region, name, upper)
    region.steps.step()
    asyncio.run(region.guard.beat())
    region.guard._book.accounts[ACCOUNT, DAY].set_rule(region.guard.rules[0])  # forget that it was refused just now
    reserve(region, name, upper)


def test_a_region_spends_what_it_was_lent_and_the_home_hears_of_it(make_region, home):
    region = make_region("us")
    reserve_helped(region, "r0", 100)
    assert state_of(home, ACCOUNT).leased > 100
    region.guard.settle("r0", 60)
    asyncio.run(region.guard.beat())
    region.steps.step()
    assert state_of(home, ACCOUNT).settled == 60


def test_more_than_a_request_needs_is_lent_so_that_the_next_ones_ask_nobody(make_region):
    region = make_region("us")
    reserve_helped(region, "r0", 100)
    region.link.before = True
    for n in range(1, 10):
        reserve(region, f"r{n}", 100)


def test_a_region_that_is_cut_off_spends_no_more_than_it_holds(make_region, home):
    region, other = make_region("us"), make_region("ap")
    reserve_helped(region, "r0", 100)
    region.link.before = True
    with pytest.raises(UnavailableError):
        region.steps.step()
    held = state_of(home, ACCOUNT).leased
    reserve(region, "r1", held - 100)  # to the last nano-dollar
    with pytest.raises(BudgetExceededError):
        reserve(region, "r2", 1)
    with pytest.raises(BudgetExceededError):
        reserve_helped(other, "o0", 10_001 - held)
    reserve(other, "o1", 10_000 - held)


def test_once_its_leases_have_ended_a_region_spends_nothing_until_the_home_answers(make_region, clock, home):
    region = make_region("us")
    reserve_helped(region, "r0", 100)
    asyncio.run(region.guard.beat())
    clock.advance(LIFE_S)
    region.pass_time(1.0)
    asyncio.run(region.guard.beat())  # it hears that all must go back that it does not need, ...
    asyncio.run(region.guard.beat())  # ... and gives it back
    with pytest.raises(BudgetExceededError):
        reserve(region, "r1", 1)
    region.steps.step()
    region.guard._book.accounts[ACCOUNT, DAY].set_rule(region.guard.rules[0])
    reserve(region, "r1", 100)


def test_the_home_waits_for_the_end_of_the_leases_before_it_counts_them_as_lost(make_region, clock, home):
    region = make_region("us")
    reserve_helped(region, "r0", 100)
    leased = state_of(home, ACCOUNT).leased
    clock.advance(LIFE_S + 59.0)
    assert home.expire(clock.now().timestamp(), 60.0) == 0
    clock.advance(2.0)
    assert home.expire(clock.now().timestamp(), 60.0) == 1
    assert (state_of(home, ACCOUNT).lost, state_of(home, ACCOUNT).leased) == (leased, 0)
    region.guard.settle("r0", 70)
    asyncio.run(region.guard.beat())
    region.steps.step()
    state = state_of(home, ACCOUNT)
    assert (state.settled, state.lost) == (70, 0)


def test_a_step_whose_answer_was_lost_counts_once_whoever_repeats_it(make_region, home):
    region = make_region("us")
    reserve_helped(region, "r0", 100)
    region.guard.settle("r0", 100)
    asyncio.run(region.guard.beat())
    region.link.after = True
    with pytest.raises(UnavailableError):
        region.steps.step()
    assert state_of(home, ACCOUNT).settled == 100
    region.link.after = False
    region.begin_steps().step()
    region.steps.step()
    assert state_of(home, ACCOUNT).settled == 100


def test_idle_leases_go_back_when_another_region_lacks_money(make_region, home):
    region, other = make_region("us"), make_region("ap")
    reserve_helped(region, "r0", 500)  # and much more is held ahead
    with pytest.raises(BudgetExceededError):
        reserve(other, "o0", 9_000)
    other.steps.step()
    region.pass_time(2.0)
    region.steps.step()  # it hears that another one lacks money, ...
    region.steps.step()  # ... and gives back
    reserve_helped(other, "o1", 9_000)


def test_a_region_out_of_a_backup_spends_nothing_before_the_home_lends_anew(make_region, clock):
    region = make_region("us")
    reserve_helped(region, "r0", 100)  # it may have given back since what it held then
    region.guard._steps._journal.close(delete=True)
    raise_spent(f"sqlite:///{region.state / 'state.db'}", [], clock.now().timestamp())
    region.link.before = True
    region.guard = region.begin_guard()
    with pytest.raises(BudgetExceededError):
        reserve(region, "r1", 1)
    region.link.before = False
    reserve_helped(region, "r2", 100)


def test_rules_are_the_homes_and_follow_it(make_region, home):
    region = make_region("us")
    assert region.ledger.rules().rules == home.rules().rules
    region.ledger.set_rules([BudgetRule(scope="tenant", limit_nano=5)], declared="by the region's settings")
    assert home.rules().rules[0].limit_nano == 10_000
    home.set_rules([BudgetRule(scope="tenant", limit_nano=7)])
    region.steps.step()
    assert region.ledger.rules().rules[0].limit_nano == 7
    region.ledger.set_rules([BudgetRule(scope="tenant", limit_nano=9)])
    assert home.rules().rules[0].limit_nano == region.ledger.rules().rules[0].limit_nano == 9


def test_a_region_that_never_heard_the_home_knows_no_rules(tmp_path, clock):
    region = RegionLedger.open_at(f"sqlite:///{tmp_path / 'region.db'}", SqlLedger.open("sqlite:////nowhere/home.db"))
    with pytest.raises(UnavailableError):
        region.rules()
    region.close()


def test_the_home_has_the_ledger_and_every_other_region_one_of_its_own(tmp_path):
    for is_here, kind in ((True, ValkeyLedger), (False, RegionLedger)):
        ledger = open_ledger(None, None, tmp_path, BudgetHome("redis://localhost:1", is_here))
        assert type(ledger) is kind
        ledger.close()
    with pytest.raises(InputError, match="home_redis_url"):
        BudgetHome("postgresql://h/budgets", is_here=True)


def test_budgets_are_shown_over_all_regions(make_region, home):
    region = make_region("us")
    reserve_helped(region, "r0", 100)
    home.exchange(Batch("worker at home", 1, 0.0, (Entry(ACCOUNT, DAY, settled=400, open=50, least=50, target=50),)))
    region.guard.settle("r0", 100)
    asyncio.run(region.guard.beat())
    region.steps.step()
    (status,) = asyncio.run(region.guard.fresh_status("acme"))
    assert (status.spent_nano, status.reserved_nano) == (500, 50)
    (own,) = region.ledger.accounts("acme", ended=True)
    assert own.settled == 100


def test_figures_say_what_is_held_and_for_how_long(make_region, clock):
    region = make_region("us")
    reserve_helped(region, "r0", 100)
    clock.advance(10.0)
    figures = region.steps.figures()
    assert (figures.away, figures.silent_s, figures.lives_s) == (False, 10.0, LIFE_S - 10.0)
    assert figures.held[ACCOUNT] > 100


def test_what_was_used_is_held_in_the_next_window_before_anybody_asks(make_region, clock, home):
    region = make_region("us")
    reserve_helped(region, "r0", 100)
    region.steps.step()
    clock.advance(86_400.0)
    region.steps.step()
    (there,) = [each for each in home.accounts() if each.window == "2026-01-02"]
    assert there.leased >= 100


def test_a_home_that_is_away_is_not_asked_again_and_again_because_workers_lack_money(make_region):
    region, told = make_region("us"), []
    region.steps.step()
    region.link.before = True
    with pytest.raises(UnavailableError):
        region.steps.step()  # it is under way from now on
    with pytest.raises(BudgetExceededError):
        reserve(region, "r0", 100)

    async def run_on():
        steps = RegionSteps(region.ledger, "us", life_s=LIFE_S, monotonic=lambda: 0.0, told=told.append)
        running = asyncio.create_task(steps.run())
        while not told:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        running.cancel()

    asyncio.run(run_on())
    assert len(told) == 1  # no time has passed


def test_what_a_journal_of_its_worker_has_counts_though_others_have_spent_as_much(make_region, home):
    home.exchange(Batch("worker", 1, 0.0, (Entry(ACCOUNT, DAY, least=500, target=500),)))
    home.exchange(Batch("worker", 2, 0.0, (Entry(ACCOUNT, DAY, settled=500),)))
    region = make_region("us")
    reserve_helped(region, "r0", 100)  # it hears who spent that, too
    entries = (Entry(ACCOUNT, DAY, settled=50),)
    region.ledger.exchange(Batch("dead", 1, 0.0, entries, final=True, forgotten=True))
    (state,) = region.ledger.accounts(ended=True)
    assert state.settled == 50


def test_rules_set_at_run_time_outlive_a_home_that_lost_its_state_and_the_restart_of_its_workers(
    make_region, home, clock, tmp_path
):
    declare(home, [])
    region = make_region("us")
    home.set_rules([BudgetRule(scope="tenant", limit_nano=7)])
    region.steps.step()
    empty = SqlLedger.open(f"sqlite:///{tmp_path / 'empty.db'}", clock)
    region.move(empty)
    region.steps.step()
    assert [rule.limit_nano for rule in declare(empty, []).rules] == [7]
    region.steps.step()
    assert [rule.limit_nano for rule in region.ledger.rules().rules] == [7]
    empty.close()


def test_what_a_region_spent_before_it_lost_its_own_ledger_is_told_to_a_home_that_lost_its_own(
    make_region, home, clock, tmp_path
):
    (tmp_path / "again").mkdir()
    first, again = make_region("us"), Region("us", tmp_path / "again", home, clock, [0.0])
    for region, amount in ((first, 100), (again, 10)):
        reserve_helped(region, "r0", amount)
        region.guard.settle("r0", amount)
        asyncio.run(region.guard.beat())
        region.steps.step()
    empty = SqlLedger.open(f"sqlite:///{tmp_path / 'empty.db'}", clock)
    again.move(empty)
    again.steps.step()
    assert state_of(empty, ACCOUNT).settled == 110
    asyncio.run(again.guard.close())
    again.steps.step()
    assert state_of(empty, ACCOUNT).settled == 110
    again.ledger.store.close()
    empty.close()
