import asyncio

import pytest

from beast_ml.errors import BudgetExceededError, UnavailableError
from beast_ml.operations.budgets import region_steps
from beast_ml.operations.budgets.region_rows import region_state
from beast_ml.operations.budgets.region_steps import RegionSteps
from beast_ml.operations.budgets.rules import BudgetRule
from beast_ml.operations.budgets.sql_ledger import SqlLedger
from beast_ml.testing.ledger_conformance import state_of
from beast_ml.testing.region_machine import LIFE_S

ACCOUNT, DAY = "tenant:acme:day", "2026-01-01"
LIMIT = 10_000


def reserve(region, name, upper, tenant="acme"):
    region.pass_time(1.0)  # a refusal is forgotten
    asyncio.run(region.guard.reserve(name, tenant, None, upper))


def reserve_helped(region, name, upper, tenant="acme"):
    try:
        reserve(region, name, upper, tenant)
    except BudgetExceededError:
        region.steps.step()
        reserve(region, name, upper, tenant)


def spend(region, name, amount, tenant="acme"):
    reserve_helped(region, name, amount, tenant)
    region.guard.settle(name, amount)
    asyncio.run(region.guard.beat())
    region.steps.step()


@pytest.fixture
def regions(make_region):
    """Two that know each other."""
    us, ap = make_region("us"), make_region("ap")
    for each in (us, ap, us):
        each.steps.step()
    return us, ap


@pytest.fixture
def lose_home(tmp_path, clock, regions, home):
    made = []

    def lose(rules=()):
        made.append(SqlLedger.open(f"sqlite:///{tmp_path / f'again{len(made)}.db'}", clock))
        if rules:
            made[-1].set_rules(rules)
        for each in regions:
            each.move(made[-1])
        return made[-1]

    yield lose
    for each in made:
        each.close()


def test_a_limit_is_not_spent_again_when_the_home_loses_its_state(regions, lose_home):
    us, ap = regions
    spend(us, "u0", 6_000)
    spend(ap, "a0", 3_000)
    again = lose_home()
    ap.steps.step()
    us.steps.step()
    assert state_of(again, ACCOUNT).settled == 9_000
    with pytest.raises(BudgetExceededError):
        reserve_helped(us, "u1", 1_001)
    ap.steps.step()
    us.steps.step()
    reserve_helped(ap, "a1", 500)


def test_what_was_spent_and_not_told_yet_counts_once(regions, lose_home):
    us, ap = regions
    spend(us, "u0", 1_000)
    reserve_helped(us, "u1", 500)
    us.guard.settle("u1", 400)
    asyncio.run(us.guard.beat())
    us.link.after = True
    with pytest.raises(UnavailableError):
        us.steps.step()  # the home has it, and nobody knows
    us.link.after = False
    reserve_helped(ap, "a0", 10)  # and another region hears of it
    again = lose_home()
    for each in (ap, us, ap, us):
        each.steps.step()
    assert state_of(again, ACCOUNT).settled == 1_400


def test_what_the_home_itself_has_spent_is_given_back_by_a_region_that_heard_of_it(regions, lose_home, home):
    from beast_ml.operations.budgets.ledger import Batch, Entry

    us, ap = regions
    home.exchange(Batch("worker", 1, 0.0, (Entry(ACCOUNT, DAY, least=7_000, target=7_000),)))
    home.exchange(Batch("worker", 2, 0.0, (Entry(ACCOUNT, DAY, settled=7_000),)))
    spend(us, "u0", 1_000)
    for _ in range(2):
        again = lose_home()
        ap.steps.step()
        us.steps.step()
        assert state_of(again, ACCOUNT).settled == 8_000


def test_a_step_that_tells_the_home_counts_once_whoever_repeats_it(regions, lose_home):
    us, ap = regions
    spend(us, "u0", 1_000)
    again = lose_home()
    us.link.after = True
    with pytest.raises(UnavailableError):
        us.steps.step()
    us.link.after = False
    ap.steps.step()
    us.begin_steps().step()
    us.steps.step()
    assert state_of(again, ACCOUNT).settled == 1_000
    spend(us, "u1", 50)
    assert state_of(again, ACCOUNT).settled == 1_050


def test_many_accounts_are_told_in_parts_and_nothing_is_lent_between(regions, lose_home, monkeypatch):
    monkeypatch.setattr(region_steps, "_CLAIMS", 2)
    us, ap = regions
    for n in range(5):
        spend(us, f"u{n}", 100 + n, f"t{n}")
    again = lose_home()
    ap.steps.step()
    n_calls, exchange = [], again.exchange

    def fails_at_the_second(batch):
        n_calls.append(batch)
        if len(n_calls) == 3:
            raise UnavailableError("away")
        return exchange(batch)

    again.exchange = fails_at_the_second
    with pytest.raises(UnavailableError):
        us.steps.step()
    assert "us" in again.awaited()
    again.exchange = exchange
    us.begin_steps().step()
    assert again.awaited() == ()
    assert [state_of(again, f"tenant:t{n}:day").settled for n in range(5)] == [100, 101, 102, 103, 104]


def test_workers_go_on_with_what_they_hold_and_are_refused_more_until_all_regions_have_told(regions, lose_home):
    us, ap = regions
    reserve_helped(us, "u0", 100)
    asyncio.run(us.guard.beat())
    again = lose_home()
    us.steps.step()
    assert state_of(again, ACCOUNT).leased >= 100
    assert again.awaited() == ("ap",)
    with pytest.raises(BudgetExceededError):
        reserve_helped(us, "u1", 9_000)
    us.guard.settle("u0", 100)
    us.ledger.go_without("ap")
    us.steps.step()
    reserve_helped(us, "u2", 5_000)
    ap.steps.step()
    assert again.awaited() == us.ledger.awaited() == ()


def test_a_home_without_rules_is_given_those_that_it_had(regions, lose_home):
    us, ap = regions
    again = lose_home()
    assert again.rules().rules == ()
    us.steps.step()
    ap.steps.step()
    assert again.rules().rules == us.ledger.rules().rules == (BudgetRule(scope="tenant", limit_nano=LIMIT),)


def test_rules_that_a_home_has_got_again_go_before_those_that_were_known(regions, lose_home):
    us, _ = regions
    rules = (BudgetRule(scope="tenant", limit_nano=77),)
    lose_home(rules)
    us.steps.step()
    assert us.ledger.rules().rules == rules


def test_accounts_that_are_idle_are_left_alone_and_found_again(regions, clock, home):
    us, _ = regions
    spend(us, "u0", 100, "idle")
    us.pass_time(1_000.0)
    asyncio.run(us.guard.beat())  # the worker gives back, ...
    us.steps.step()  # and the region
    us.steps.step()
    assert ("tenant:idle:day", DAY) not in us.steps._held
    assert state_of(home, "tenant:idle:day").leased == 0
    spend(us, "u1", 40, "idle")
    assert state_of(home, "tenant:idle:day").settled == 140


def test_a_step_reads_what_has_changed_alone(regions, monkeypatch):
    us, _ = regions
    spend(us, "u0", 100)
    monkeypatch.setattr(region_steps, "shares_at_work", None)
    spend(us, "u1", 5_000)
    us.steps.step()


def test_a_step_that_another_process_took_is_no_reason_to_forget_what_workers_lack(regions, home):
    us, _ = regions
    spend(us, "u0", 100)
    other = us.begin_steps()
    with pytest.raises(BudgetExceededError):
        reserve(us, "u1", 7_000)
    us.link.before = True
    with pytest.raises(UnavailableError):
        other.step()  # it has seen what is lacked, and dies
    us.link.before = False
    us.steps.step()
    reserve(us, "u1", 7_000)
    us.steps.step()
    assert state_of(home, ACCOUNT).reserved == 7_000


def test_one_of_several_hosts_talks_with_the_home_and_the_next_takes_over(regions, clock):
    us, _ = regions
    one, two = us.begin_steps(), us.begin_steps()
    assert one._leads()
    assert not two._leads()
    clock.advance(2.0)
    assert one._leads()
    clock.advance(2.0)
    assert not two._leads()
    clock.advance(1.0)  # silent for three seconds
    assert two._leads()
    assert not one._leads()
    clock.advance(-7_200.0)  # a clock that was wrong holds up nobody
    assert one._leads()


def test_who_does_not_talk_with_the_home_takes_no_step_and_shows_how_it_stands(regions, home):
    us, _ = regions
    reserve_helped(us, "u0", 100)
    assert us.begin_steps()._leads()
    with us.ledger.store.writing() as stored:
        before = region_state(stored).seq
    told = []

    async def run_on():
        steps = RegionSteps(us.ledger, "us", life_s=LIFE_S, monotonic=lambda: 0.0, told=told.append)
        running = asyncio.create_task(steps.run())
        while not told:
            await asyncio.sleep(0.01)
        running.cancel()

    asyncio.run(run_on())
    with us.ledger.store.writing() as stored:
        assert region_state(stored).seq == before
    assert told[0].held[ACCOUNT] > 100
