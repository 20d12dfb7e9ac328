import pytest

from beast_ml.benchmarks.chaos.herd_faults import equal_calls
from beast_ml.benchmarks.chaos.invariants import (
    Bill,
    crossed,
    overrun,
    shortened,
    unbooked,
    unlogged,
    unnamed,
    unnamed_throughout,
)
from beast_ml.benchmarks.chaos.traffic import TIGHT, Ask, Reply
from beast_ml.benchmarks.chaos.window import Window
from beast_ml.benchmarks.serving.load_plan import CLOSED, Answered
from beast_ml.operations.budgets.ledger import AccountState
from beast_ml.operations.budgets.rules import BudgetRule

PRICES = {"m": (10, 30)}


def reply(tenant="acme", prompt="a whale", call=1, echoed=None, request_id="r1", status=200, kind=""):
    answered = Answered(0, 1.0, 2.0, status)
    return Reply(Ask(tenant, prompt), answered, request_id, call, prompt if echoed is None else echoed, "miss", kind)


def account(tenant="acme", settled=0, lost=0, leased=0, reserved=0):
    return AccountState(f"tenant:{tenant}:month", "2026-11", settled, lost, leased, reserved)


def test_an_answered_request_without_a_row_is_lost():
    assert unlogged([reply()], {"r1": "acme"}) == []
    assert "not in the log" in unlogged([reply()], {})[0]
    assert "logged as bolt's" in unlogged([reply()], {"r1": "bolt"})[0]
    assert "without an id" in unlogged([reply(request_id="")], {})[0]


def test_what_was_damaged_on_purpose_or_never_acknowledged_is_not_lost():
    assert unlogged([reply()], {}, excused={"r1"}) == []
    assert unlogged([reply(status=503)], {}) == []


def test_an_answer_to_another_prompt_or_of_another_tenant_has_crossed():
    assert crossed([reply(), reply("bolt", call=2), reply(call=1)]) == []
    assert "got the answer to 'a king'" in crossed([reply(echoed="a king")])[0]
    assert crossed([reply(call=7), reply("bolt", call=7)]) == ["call 7 answered both acme and bolt"]
    assert "no call gave" in crossed([reply(call=None)])[0]


def test_an_answer_that_a_budget_cut_short_or_a_semantic_hit_has_not_crossed():
    assert crossed([reply(echoed="a wh")]) == []
    assert crossed([reply(echoed="the whale", kind="semantic")]) == []


def test_an_account_may_hold_its_limit_and_not_a_nano_dollar_more():
    rules = [BudgetRule(scope="tenant", key="acme", period="month", limit_nano=100)]
    assert overrun([account(settled=50, lost=20, leased=30)], rules) == []
    assert "101 of 100" in overrun([account(settled=51, lost=20, leased=30)], rules)[0]
    assert overrun([account("bolt", settled=10**12)], rules) == []


@pytest.mark.parametrize("wrong", [{"lost": -1}, {"leased": 1, "reserved": 2}])
def test_amounts_that_cannot_be_are_told(wrong):
    assert "cannot be" in overrun([account(**wrong)], [])[0]


def test_what_the_provider_is_owed_must_be_booked_in_all_and_of_each_tenant():
    bills = [Bill(1, "m", 2, 1), Bill(2, "m", 0, 1)]  # 50 and 30 nano-dollars
    owners = {1: "acme"}
    assert unbooked(bills, PRICES, owners, [account(settled=50), account("bolt", lost=30)]) == []
    assert "by all, booked are 79" in unbooked(bills, PRICES, owners, [account(settled=79)])[0]
    only = unbooked(bills, PRICES, owners, [account(settled=49), account("bolt", leased=40)])
    assert only == ["the provider is owed 50 nano-dollars by acme, booked are 49"]


def test_a_status_that_nobody_named_is_told_with_its_kind():
    replies = [reply(), reply(status=503, kind="unavailable"), reply(status=CLOSED, kind=""), reply(TIGHT, status=402)]
    assert unnamed(replies, {503, CLOSED}) == []
    assert unnamed(replies, {CLOSED}) == ["1 times 503 (unavailable) to acme"]
    assert unnamed([reply(status=402)], {503}) == ["1 times 402 (no kind) to acme"]


def test_what_ends_after_its_fault_was_checked_is_checked_all_the_same():
    def sent(due, ended, status):
        return Reply(Ask("acme", "?"), Answered(0, due, ended, status), "r", 1, "?", "miss", "hung")

    windows = [Window("cut", 10.0, 14.0, 20.0), Window("kill", 30.0, 31.0, 40.0)]
    may = {"cut": {503}, "kill": {CLOSED}}
    assert unnamed_throughout([sent(12.0, 25.0, 503), sent(19.0, 32.0, CLOSED)], windows, may) == []
    (late,) = unnamed_throughout([sent(12.0, 25.0, 504)], windows, may)
    assert "1 times 504 (hung) to acme, of cut" in late
    (calm,) = unnamed_throughout([sent(24.0, 25.0, 503)], windows, may)
    assert calm.endswith("while nothing was broken")
    told = [Window("cut", 10.0, 14.0, 20.0, wrong=("1 times 504",))]
    assert unnamed_throughout([sent(12.0, 15.0, 504)], told, may) == []


def test_equal_requests_at_once_make_a_call_a_worker_at_most():
    herd = [reply(call=n) for n in (1, 2, 1, 1)]
    assert equal_calls(herd, n_workers=2) == []
    assert "2 calls were made for 'a whale' of acme" in equal_calls(herd, n_workers=1)


def test_long_lists_are_shortened():
    assert shortened(["a"]) == ["a"]
    assert shortened(list("abcdef")) == ["a", "b", "c", "and 3 more"]
