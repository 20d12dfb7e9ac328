"""Budgets of servers that share a ledger, and of such that do not."""

import pytest

from beast_ml.serving.dashboard.budgets_now import apart, budgets_now
from beast_ml.serving.dashboard.metric_history import Series
from beast_ml.serving.dashboard.notices import notices
from beast_ml.serving.dashboard.server_watch import ServerWatch

NOW_S = 1_764_072_000.0
BUDGET = "global:*:day"


def watch(*left, url="http://one", ledger=None, budgets=(BUDGET,), span_s=600.0):
    """Return a server whose budgets of ten dollars had so much left, at even times up to now."""
    made = ServerWatch(url, None)
    for i, now_left in enumerate(left):
        told = {}
        for name in budgets:
            label = (("budget", name),)
            told |= {Series("beast_budget_left_usd", label): now_left, Series("beast_budget_limit_usd", label): 10.0}
        if ledger is not None:
            told[Series("beast_budget_ledger_info", (("ledger", ledger),))] = 1.0
        made.history.add(NOW_S - span_s * (len(left) - 1 - i) / max(len(left) - 1, 1), told)
    return made


def test_a_budget_burns_and_says_when_it_is_empty():
    (budget,) = budgets_now([watch(*(8.0 - i / 60 for i in range(61)))], NOW_S)
    assert budget["burn_usd_per_h"] == pytest.approx(6.0)
    assert budget["empty_in_s"] == pytest.approx(70 * 60)
    assert budget["used_share"] == pytest.approx(0.3)
    assert budget["resets_in_s"] == pytest.approx(86_400 - NOW_S % 86_400)


def test_the_same_money_burns_at_the_same_rate_in_every_budget_that_it_is_taken_from():
    made, spent = ServerWatch("http://one", None), (0.0, 0.0, 0.05, 0.15, 0.25)
    for i, each in enumerate(spent):
        told = {"global:*:day": 10.0 - each, **({"tenant:acme:day": 5.0 - each} if each else {})}
        looks = {Series("beast_budget_left_usd", (("budget", name),)): left for name, left in told.items()}
        looks |= {Series("beast_budget_limit_usd", (("budget", name),)): 10.0 for name in told}
        made.history.add(NOW_S - 480.0 + 120.0 * i, looks)
    burning = {each["budget"]: each["burn_usd_per_h"] for each in budgets_now([made], NOW_S)}
    assert burning["global:*:day"] == pytest.approx(0.25 * 7.5)
    assert burning["tenant:acme:day"] == pytest.approx(0.20 * 7.5)  # what it began with is not known


def test_a_look_of_two_minutes_says_nothing_of_how_fast_a_budget_burns():
    (budget,) = budgets_now([watch(9.8, 9.6, span_s=120.0)], NOW_S)
    assert (budget["burn_usd_per_h"], budget["empty_in_s"]) == (None, None)


def test_a_budget_that_began_anew_burns_at_no_known_rate():
    assert budgets_now([watch(1.0, 10.0)], NOW_S)[0]["burn_usd_per_h"] is None


def test_of_servers_that_share_a_ledger_the_least_that_is_left_counts():
    both = [watch(4.0, ledger="postgresql:1"), watch(3.0, url="http://two", ledger="postgresql:1")]
    (budget,) = budgets_now(both, NOW_S)
    assert (budget["left_usd"], budget["servers"]) == (3.0, ["http://one", "http://two"])
    assert apart([budget]) is None


def test_servers_that_share_none_are_shown_apart_and_said_to_be():
    three = [
        watch(4.0, ledger="sqlite:1"),
        watch(3.0, url="http://two", ledger="sqlite:2"),
        watch(2.5, url="http://three", ledger="sqlite:2"),
    ]
    rows = budgets_now(three, NOW_S)
    assert [(each["left_usd"], each["servers"]) for each in rows] == [
        (2.5, ["http://two", "http://three"]),
        (4.0, ["http://one"]),
    ]
    (found,) = notices([], rows, 5, ["logs"], None)
    assert found.level == "warning"
    assert "http://two, http://three | http://one" in found.text
    assert "global:*:day (together up to $20.00, $6.50 left)" in found.text
    assert "BEAST_DATABASE_URL" in found.text


def test_many_budgets_are_named_in_part():
    names = [f"user:{i}:day" for i in range(9)]
    both = [watch(4.0, ledger=ledger, budgets=names, url=f"http://{ledger}") for ledger in ("sqlite:1", "sqlite:2")]
    assert "and 6 more" in apart(budgets_now(both, NOW_S))


def test_different_budgets_of_different_ledgers_are_nobody_s_mistake():
    two = watch(3.0, url="http://two", ledger="sqlite:2", budgets=("tenant:acme:day",))
    assert apart(budgets_now([watch(4.0, ledger="sqlite:1"), two], NOW_S)) is None


def test_servers_that_do_not_tell_are_taken_to_share():
    assert len(budgets_now([watch(4.0), watch(3.0, url="http://two")], NOW_S)) == 1
