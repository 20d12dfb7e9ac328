import asyncio
import functools
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from beast_ml.errors import BudgetExceededError, InputError, UnavailableError
from beast_ml.operations.budgets import BudgetGuard, BudgetRule, Ledger, open_ledger, recover
from beast_ml.operations.budgets.ledger import Answer, Batch
from beast_ml.operations.budgets.sql_ledger import SqlLedger
from beast_ml.testing.budget_machine import FailingLedger
from beast_ml.testing.clock import FakeClock
from beast_ml.testing.ledger_conformance import state_of

LIMIT = 1_000_000
RULES = (BudgetRule(scope="tenant", limit_nano=LIMIT),)


class Monotonic:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = open_ledger(None, None, tmp_path)
    yield ledger
    ledger.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()


@pytest.fixture
def make(ledger: Ledger, tmp_path: Path, clock: FakeClock, monotonic: Monotonic) -> Callable[..., BudgetGuard]:
    def make(rules: tuple[BudgetRule, ...] | None = RULES, on: Any = ledger, **options: Any) -> BudgetGuard:
        return BudgetGuard.open(on, tmp_path, rules, clock=clock, monotonic=monotonic, **options)

    return make


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))

    return run


@in_loop
async def test_without_a_rule_everything_passes_and_nothing_is_kept(make: Callable[..., BudgetGuard]) -> None:
    guard = make(())
    assert guard.try_reserve("r1", "acme", None, 10**18)
    guard.settle("r1", 10**18)
    assert guard.pressure("acme", None) == 1.0
    assert guard.status("acme") == []
    await guard.close()


@in_loop
async def test_the_first_request_asks_the_ledger_and_the_next_do_not(
    make: Callable[..., BudgetGuard], ledger: Ledger
) -> None:
    guard = make()
    assert not guard.try_reserve("r1", "acme", "bob", 100)
    await guard.reserve("r1", "acme", "bob", 100)
    for n in range(4):
        assert guard.try_reserve(f"s{n}", "acme", "bob", 100)
    guard.settle("r1", 40)
    await guard.beat()
    state = state_of(ledger)
    assert (state.settled, state.lost, state.reserved) == (40, 0, 400)
    await guard.close()
    state = state_of(ledger)
    assert (state.settled, state.lost, state.leased, state.reserved) == (40, 400, 0, 0)


@in_loop
async def test_to_the_last_nano_dollar_and_not_one_more(make: Callable[..., BudgetGuard], ledger: Ledger) -> None:
    guard = make()
    await guard.reserve("r1", "acme", None, LIMIT)
    with pytest.raises(BudgetExceededError, match=r"tenant:acme:day of 0.001 USD has 0 USD left.*2026-01-02") as caught:
        await guard.reserve("r2", "acme", None, 1)
    assert caught.value.budget == "tenant:acme:day"
    guard.settle("r1", LIMIT - 1)
    await guard.beat()
    with pytest.raises(BudgetExceededError):
        guard.try_reserve("r3", "acme", None, 2)
    await guard.reserve("r4", "other", None, LIMIT)
    await guard.close()
    assert state_of(ledger).settled == LIMIT - 1


@in_loop
async def test_a_refusal_is_kept_to_for_a_moment_and_then_asked_again(
    make: Callable[..., BudgetGuard], monotonic: Monotonic
) -> None:
    guard = make()
    await guard.reserve("r1", "acme", None, LIMIT)
    with pytest.raises(BudgetExceededError):
        await guard.reserve("r2", "acme", None, 100)
    guard.settle("r1", 0)
    assert guard.try_reserve("r2", "acme", None, 100)  # it is our own lease
    with pytest.raises(BudgetExceededError):
        guard.try_reserve("r3", "acme", None, LIMIT)
    monotonic.seconds += 1
    assert not guard.try_reserve("r3", "acme", None, LIMIT)
    await guard.close()


@in_loop
async def test_a_worker_gives_back_what_another_one_waits_for(make: Callable[..., BudgetGuard]) -> None:
    one, two = make(beat_s=0.05), make(beat_s=0.05)
    await one.start()
    await two.start()
    await one.reserve("r1", "acme", None, 200_000)
    one.settle("r1", 0)
    await one.beat()
    await two.reserve("r2", "acme", None, LIMIT)
    with pytest.raises(BudgetExceededError):
        await one.reserve("r3", "acme", None, LIMIT)
    await one.close()
    await two.close()


@in_loop
async def test_settling_counts_once(make: Callable[..., BudgetGuard], ledger: Ledger) -> None:
    one, two = make(), make()
    await one.reserve("r1", "acme", None, 100)
    two.settle("r1", 30)  # told to another worker
    for guard in (two, one, two, one):
        await guard.beat()
    one.settle("r1", 70)  # and again, with another amount
    two.settle("r1", 30)
    for guard in (two, one, two, one):
        await guard.beat()
    assert (state_of(ledger).settled, state_of(ledger).reserved) == (30, 0)
    await one.close()
    await two.close()
    assert (state_of(ledger).settled, state_of(ledger).lost, state_of(ledger).leased) == (30, 0, 0)


@in_loop
async def test_reservations_at_once_ask_the_ledger_once(
    make: Callable[..., BudgetGuard], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of many new users takes one step, not one for each."""
    guard = make((BudgetRule(scope="user", limit_nano=LIMIT), BudgetRule(scope="global", limit_nano=LIMIT)))
    steps: list[Batch] = []
    exchange = ledger.exchange

    def counted(batch: Batch) -> Answer:
        steps.append(batch)
        return exchange(batch)

    monkeypatch.setattr(ledger, "exchange", counted)
    await asyncio.gather(*(guard.reserve(f"r{n}", "acme", f"user{n}", 100) for n in range(300)))
    assert len(steps) == 1
    assert len(steps[0].entries) == 301
    await guard.close()


@in_loop
async def test_what_a_client_tells_counts_up_to_what_was_reserved(
    make: Callable[..., BudgetGuard], ledger: Ledger, monotonic: Monotonic, clock: FakeClock, tmp_path: Path
) -> None:
    guard, other = make(reservation_s=900.0), make()
    for name in ("here", "there", "lost", "killed"):
        await guard.reserve(name, "acme", None, 100)
    guard.settle("here", 10**21, told=True)
    other.settle("there", 10**21, told=True)
    await other.beat()
    await guard.beat()
    await guard.beat()
    assert state_of(ledger).settled == 200
    monotonic.seconds += 1000
    await guard.beat()
    await guard.reserve("last", "acme", None, 100)
    guard.settle("lost", 10**21, told=True)
    await guard.beat()
    state = state_of(ledger)
    assert (state.settled, state.lost) == (300, 100)
    guard.settle("last", 10**21, told=True)
    kill(guard)
    assert recover(tmp_path, ledger, clock=clock) == 1
    other.settle("killed", 10**21, told=True)
    await other.close()
    state = state_of(ledger)
    assert (state.settled, state.lost, state.leased) == (500, 0, 0)


@in_loop
async def test_a_reservation_that_nobody_settles_is_lost_until_somebody_does(
    make: Callable[..., BudgetGuard], ledger: Ledger, monotonic: Monotonic
) -> None:
    one, two = make(reservation_s=60.0), make()
    await one.reserve("r1", "acme", None, 100)
    monotonic.seconds += 30
    await one.reserve("r2", "acme", None, 1000)
    monotonic.seconds += 31
    await one.beat()
    assert (state_of(ledger).settled, state_of(ledger).lost) == (0, 100)
    assert [(each.lost_nano, each.reserved_nano) for each in one.status("acme")] == [(100, 1000)]
    two.settle("r1", 20)
    await two.beat()
    assert (state_of(ledger).settled, state_of(ledger).lost) == (20, 0)
    one.settle("r1", 20)
    await one.beat()
    assert (state_of(ledger).settled, state_of(ledger).lost) == (20, 0)
    await one.close()
    await two.close()


@in_loop
async def test_pressure_falls_from_the_soft_share_to_the_limit(
    make: Callable[..., BudgetGuard], clock: FakeClock
) -> None:
    guard = make(
        (BudgetRule(scope="tenant", limit_nano=1000, soft_share=0.5), BudgetRule(scope="global", limit_nano=10**9))
    )
    found = []
    for n in range(10):
        await guard.reserve(f"r{n}", "acme", None, 100)
        guard.settle(f"r{n}", 100)
        found.append(guard.pressure("acme", "anybody"))
    assert found[:5] == [1.0] * 5
    assert found[-1] == 0.0
    assert all(0 < later < earlier for earlier, later in pairwise(found[4:-1]))
    assert guard.pressure("other", None) == 1.0
    await guard.beat()
    assert guard.pressure("acme", None) == 0.0
    await guard.close()


@in_loop
async def test_pressure_on_a_budget_of_nothing_is_zero(make: Callable[..., BudgetGuard]) -> None:
    guard = make((BudgetRule(scope="tenant", limit_nano=0),))
    assert guard.pressure("acme", None) == 0.0
    with pytest.raises(BudgetExceededError):
        guard.try_reserve("r1", "acme", None, 1)
    await guard.close()


@in_loop
async def test_a_new_day_begins_anew_and_a_clock_that_jumps_back_does_not(
    make: Callable[..., BudgetGuard], clock: FakeClock, ledger: Ledger
) -> None:
    guard, late = make(), make()
    await guard.reserve("r1", "acme", None, LIMIT)
    clock.advance(86_400)
    await guard.reserve("r2", "acme", None, LIMIT)
    guard.settle("r1", 10)  # on the day it was reserved
    await guard.beat()
    assert [each.spent_nano for each in await guard.fresh_status("acme")] == [0]
    clock.advance(-2 * 86_400)
    with pytest.raises(BudgetExceededError):
        await guard.reserve("r3", "acme", None, 1)
    with pytest.raises(BudgetExceededError):
        await late.reserve("r4", "acme", None, 1)  # its clock never was ahead; the ledger knows better
    fresh = make()
    with pytest.raises(BudgetExceededError):
        await fresh.reserve("r5", "acme", None, 1)
    for each in (guard, late, fresh):
        await each.close()


@in_loop
async def test_a_clock_far_ahead_is_corrected_by_the_ledgers(tmp_path: Path, clock: FakeClock) -> None:
    ledger = SqlLedger.open(f"sqlite:///{tmp_path / 'own.db'}", clock)
    guard = BudgetGuard.open(ledger, tmp_path, RULES, clock=clock, patience_s=0.5)
    await guard.reserve("r1", "acme", None, 100)
    ahead = FakeClock(clock.now() + timedelta(days=400))
    wrong = BudgetGuard.open(ledger, tmp_path, RULES, clock=ahead, patience_s=0.5)
    await wrong.reserve("w1", "acme", None, LIMIT - 1000)
    with pytest.raises(BudgetExceededError):
        await guard.reserve("r2", "acme", None, 1000)
    await guard.reserve("r3", "acme", None, 900)
    assert {each.resets_at for each in wrong.status("acme")} == {each.resets_at for each in guard.status("acme")}
    clock.advance(86_400.0)
    await guard.reserve("r4", "acme", None, LIMIT)  # a new day for everybody, also for whom is wrong
    with pytest.raises(BudgetExceededError):
        await wrong.reserve("w2", "acme", None, LIMIT)
    await wrong.close()
    await guard.close()
    assert state_of(ledger).lost == LIMIT
    ledger.close()


@in_loop
async def test_when_the_ledger_is_away_leases_are_used_up_and_then_requests_are_refused(
    make: Callable[..., BudgetGuard], ledger: Ledger
) -> None:
    away = FailingLedger(ledger)
    guard = make(on=away)
    await guard.reserve("r1", "acme", None, 100)
    away.before = True
    for n in range(4):
        assert guard.try_reserve(f"s{n}", "acme", None, 100)
    with pytest.raises(UnavailableError, match="does not answer"):
        await guard.reserve("s5", "acme", None, 100)
    guard.settle("r1", 100)
    away.before, away.after = False, True
    await guard.beat()  # carried out, but we do not know
    with pytest.raises(UnavailableError, match="answer was lost"):
        await guard.reserve("s5", "acme", None, 100)
    away.after = False
    await guard.reserve("s5", "acme", None, 100)
    await guard.beat()
    assert (state_of(ledger).settled, state_of(ledger).reserved) == (100, 500)
    await guard.close()


@in_loop
async def test_a_start_without_the_ledger_keeps_to_the_rules_it_knows(
    make: Callable[..., BudgetGuard], ledger: Ledger, tmp_path: Path
) -> None:
    away = FailingLedger(ledger)
    away.before = True
    with pytest.raises(UnavailableError):
        make(None, on=away)
    guard = make(on=away)
    with pytest.raises(UnavailableError):
        await guard.reserve("r1", "acme", None, 1)
    away.before = False
    await guard.reserve("r1", "acme", None, 1)
    assert ledger.rules().rules == RULES
    await guard.set_rules([BudgetRule(scope="global", limit_nano=5)])
    await guard.close()
    away.before = True
    assert make((), on=away).rules == (BudgetRule(scope="global", limit_nano=5),)


@in_loop
async def test_rules_that_change_at_run_time_reach_all_workers(make: Callable[..., BudgetGuard]) -> None:
    one, two = make(()), make(())
    assert two.try_reserve("r1", "acme", None, 10**9)
    await one.set_rules([BudgetRule(scope="tenant", limit_nano=50)])
    await two.beat()
    with pytest.raises(BudgetExceededError):
        await two.reserve("r2", "acme", None, 51)
    await two.reserve("r3", "acme", None, 50)
    await one.set_rules([BudgetRule(scope="tenant", limit_nano=150)])
    await two.beat()
    await two.reserve("r4", "acme", None, 100)
    await one.set_rules([])
    await two.beat()
    assert two.try_reserve("r5", "acme", None, 10**9)
    with pytest.raises(InputError, match="two rules"):
        await one.set_rules([BudgetRule(scope="tenant", limit_nano=n) for n in (1, 2)])
    await one.close()
    await two.close()


@in_loop
async def test_a_tenant_sees_its_own_budgets_only(make: Callable[..., BudgetGuard]) -> None:
    guard = make(
        (
            BudgetRule(scope="global", limit_nano=10**9, period="month"),
            BudgetRule(scope="tenant", limit_nano=10**6),
            BudgetRule(scope="user", key="acme/bob", limit_nano=500),
        )
    )
    await guard.reserve("r1", "acme", "bob", 100)
    await guard.reserve("r2", "other", "bob", 100)
    guard.settle("r1", 60)
    for statuses in (guard.status("acme"), await guard.fresh_status("acme")):
        assert [(each.budget, each.spent_nano, each.left_nano) for each in statuses] == [
            ("tenant:acme:day", 60, 10**6 - 60),
            ("user:acme/bob:day", 60, 440),
        ]
    assert [each.budget for each in guard.status("nobody")] == ["tenant:nobody:day"]
    assert [each.budget for each in await guard.fresh_status(None)] == [
        "global:*:month",
        "tenant:acme:day",
        "tenant:other:day",
        "user:acme/bob:day",
    ]
    assert guard.status("acme")[0].to_dict()["left_usd"] == (10**6 - 60) / 1e9
    await guard.close()


@in_loop
async def test_what_makes_no_sense_is_refused(make: Callable[..., BudgetGuard]) -> None:
    guard = make()
    await guard.reserve("r1", "acme", None, 1)
    with pytest.raises(InputError, match="reserved already"):
        guard.try_reserve("r1", "acme", None, 1)
    with pytest.raises(InputError, match=">= 0"):
        guard.try_reserve("r2", "acme", None, -1)
    with pytest.raises(InputError, match=">= 0"):
        guard.settle("r1", -1)
    await guard.close()


@in_loop
async def test_many_at_once_get_what_there_is(make: Callable[..., BudgetGuard], ledger: Ledger) -> None:
    guard = make(patience_s=0.0)
    results = await asyncio.gather(
        *(guard.reserve(f"r{n}", "acme", None, LIMIT // 10) for n in range(64)), return_exceptions=True
    )
    assert sum(result is None for result in results) == 10
    assert all(result is None or isinstance(result, BudgetExceededError) for result in results)
    await guard.close()


@in_loop
async def test_a_killed_worker_is_settled_from_its_journal(
    make: Callable[..., BudgetGuard], ledger: Ledger, tmp_path: Path
) -> None:
    guard = make()
    for n in range(3):
        await guard.reserve(f"r{n}", "acme", None, 100)
    guard.settle("r0", 10)
    await guard.beat()
    guard.settle("r1", 20)
    assert recover(tmp_path, ledger) == 0  # it lives
    kill(guard)
    assert recover(tmp_path, ledger) == 1
    assert recover(tmp_path, ledger) == 0
    state = state_of(ledger)
    assert (state.settled, state.lost, state.leased, state.reserved) == (30, 100, 0, 0)
    other = make()
    other.settle("r2", 70)
    await other.beat()
    assert (state_of(ledger).settled, state_of(ledger).lost) == (100, 0)
    await other.close()


@in_loop
async def test_a_recovery_that_was_cut_short_is_done_once(
    make: Callable[..., BudgetGuard], ledger: Ledger, tmp_path: Path
) -> None:
    guard = make()
    await guard.reserve("r0", "acme", None, 100)
    guard.settle("r0", 10)
    kill(guard)
    away = FailingLedger(ledger)
    away.after = True
    with pytest.raises(UnavailableError):
        recover(tmp_path, away)
    away.after, away.before = False, True
    with pytest.raises(UnavailableError):
        recover(tmp_path, away)
    assert recover(tmp_path, ledger) == 1
    assert (state_of(ledger).settled, state_of(ledger).lost, state_of(ledger).leased) == (10, 0, 0)


@in_loop
async def test_a_step_that_arrives_while_the_journal_is_replayed_is_not_missed(
    make: Callable[..., BudgetGuard], ledger: Ledger, tmp_path: Path
) -> None:
    guard = make()
    await guard.reserve("r0", "acme", None, 100)
    guard.settle("r0", 10)
    away = FailingLedger(ledger)
    away.before = True
    guard._steps.ledger = away
    await guard.beat()  # written down, and still on its way when the worker dies
    assert guard._steps._unsure is not None
    late = guard._steps._unsure[0]
    kill(guard)

    class Overtaken:
        def exchange(self, batch: Batch) -> Answer:
            if batch.final:
                ledger.exchange(late)
            return ledger.exchange(batch)

        def __getattr__(self, name: str) -> Any:
            return getattr(ledger, name)

    assert recover(tmp_path, Overtaken()) == 1
    assert (state_of(ledger).settled, state_of(ledger).lost, state_of(ledger).leased) == (10, 0, 0)


@in_loop
async def test_after_a_restart_of_the_machine_the_whole_lease_counts_as_spent(
    make: Callable[..., BudgetGuard], ledger: Ledger, tmp_path: Path
) -> None:
    guard = make()
    await guard.reserve("r0", "acme", None, 100)
    leased = state_of(ledger).leased
    kill(guard)
    (journal,) = (tmp_path / "budgets").glob("*.journal")
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[1:]))
    assert recover(tmp_path, ledger) == 1
    assert (state_of(ledger).settled, state_of(ledger).lost, state_of(ledger).leased) == (0, leased, 0)


@in_loop
async def test_a_silent_host_loses_its_lease_until_it_is_back(
    make: Callable[..., BudgetGuard], ledger: Ledger, tmp_path: Path, clock: FakeClock
) -> None:
    guard = make()
    await guard.reserve("r0", "acme", None, 100)
    clock.advance(61)
    recover(tmp_path, ledger, clock=clock)
    assert state_of(ledger).leased == 0
    guard.settle("r0", 30)  # it still spends only what is set aside for it
    await guard.beat()
    assert (state_of(ledger).settled, state_of(ledger).lost) == (30, 0)
    await guard.close()
    assert (state_of(ledger).settled, state_of(ledger).lost, state_of(ledger).leased) == (30, 0, 0)


@in_loop
async def test_a_ledger_that_forgot_us_is_not_trusted(make: Callable[..., BudgetGuard], tmp_path: Path) -> None:
    guard = make()
    await guard.reserve("r0", "acme", None, 100)
    other = open_ledger(None, None, tmp_path / "emptied")
    guard._steps.ledger = other
    await guard.beat()
    with pytest.raises(UnavailableError, match="restart the worker"):
        await guard.reserve("r1", "acme", None, 100)
    with pytest.raises(UnavailableError, match="restart the worker"):
        await guard.reserve("r1", "new", None, 100)
    await guard.close()
    other.close()


@in_loop
async def test_a_long_journal_is_folded(
    make: Callable[..., BudgetGuard], ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beast_ml.operations.budgets.ledger_steps._FOLD_BYTES", 2000)
    guard = make()
    await guard.reserve("kept", "acme", None, 100)
    for n in range(200):
        await guard.reserve(f"r{n}", "acme", None, 100)
        guard.settle(f"r{n}", 50)
        if n % 20 == 0:
            await guard.beat()
    (journal,) = (tmp_path / "budgets").glob("*.journal")
    assert journal.stat().st_size < 6000
    kill(guard)
    assert recover(tmp_path, ledger) == 1
    assert (state_of(ledger).settled, state_of(ledger).lost, state_of(ledger).leased) == (200 * 50, 100, 0)


@in_loop
async def test_a_disk_that_refuses_refuses_reservations_and_settles_all_the_same(
    make: Callable[..., BudgetGuard], ledger: Ledger, monkeypatch: pytest.MonkeyPatch, monotonic: Monotonic
) -> None:
    guard = make(reservation_s=60.0)
    for n in range(3):
        await guard.reserve(f"r{n}", "acme", None, 100)
    with monkeypatch.context() as patch:
        patch.setattr("beast_ml.operations.budgets.journal.os.write", full)
        with pytest.raises(UnavailableError, match="free or mend the disk"):
            guard.try_reserve("s", "acme", None, 100)
        guard.settle("r0", 40)
        monotonic.seconds += 61
        await guard.beat()  # cannot be written down, so is not sent
        assert state_of(ledger).settled == 0
    await guard.beat()
    assert (state_of(ledger).settled, state_of(ledger).lost) == (40, 200)
    await guard.close()
    assert state_of(ledger).leased == 0


@in_loop
async def test_a_worker_that_ends_on_a_disk_that_failed_tells_all_though_its_journal_has_lost_its_end(
    make: Callable[..., BudgetGuard], ledger: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    guard = make()
    await guard.reserve("r0", "acme", None, 100)
    await guard.reserve("r1", "acme", None, 100)
    (journal,) = (tmp_path / "budgets").glob("*.journal")
    with monkeypatch.context() as patch:
        patch.setattr("beast_ml.operations.budgets.journal.os.write", full)
        patch.setattr("beast_ml.operations.budgets.journal.Path.unlink", full)
        guard.settle("r0", 40)
        await guard.close()
    state = state_of(ledger)
    assert (state.settled, state.lost, state.leased) == (40, 100, 0)
    assert ledger.applied(journal.name.removesuffix(".journal")) is None  # so that nobody replays what is left of it


@in_loop
async def test_the_background_reports_and_gives_back(make: Callable[..., BudgetGuard], ledger: Ledger) -> None:
    guard = make(beat_s=0.02)
    await guard.start()
    await guard.reserve("r0", "acme", None, 100)
    guard.settle("r0", 40)
    while state_of(ledger).settled != 40:
        await asyncio.sleep(0.02)
    await guard.close()
    assert state_of(ledger).leased == 0


def full(*_: object, **__: object) -> int:
    raise OSError(28, "No space left on device")


def kill(guard: BudgetGuard) -> None:
    """Let go of the journal's lock, as the end of a process does, and of nothing else."""
    guard._steps._journal.close(delete=False)
