from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.errors import InputError
from beast_ml.operations.budgets.rules import (
    BudgetRule,
    account_names,
    account_parts,
    paced_pressure,
    rules_by_name,
    rules_of_account,
    tenant_of_account,
    window_end,
    window_of,
    window_start,
)

shares = st.floats(0, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"scope": "team", "limit_nano": 1},
        {"scope": "global", "limit_nano": -1},
        {"scope": "global", "limit_nano": 2**62},
        {"scope": "global", "limit_nano": 1, "key": "acme"},
        {"scope": "tenant", "limit_nano": 1, "key": ""},
        {"scope": "user", "limit_nano": 1, "key": "bob"},
        {"scope": "tenant", "limit_nano": 1, "period": "week"},
        {"scope": "tenant", "limit_nano": 1, "soft_share": 0.0},
        {"scope": "tenant", "limit_nano": 1, "soft_share": 1.1},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match="must be"):
        BudgetRule(**wrong)  # type: ignore[arg-type]


def test_a_rule_in_usd_is_exact() -> None:
    assert BudgetRule.from_usd("tenant", 0.1, key="acme").limit_nano == 100_000_000


def test_two_rules_for_one_budget_are_refused() -> None:
    with pytest.raises(InputError, match="tenant:acme:day"):
        rules_by_name([BudgetRule(scope="tenant", key="acme", limit_nano=n) for n in (1, 2)])


@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_no_two_people_share_an_account(tenant: str, user: str, other: str, another: str) -> None:
    if (tenant, user) != (other, another):
        assert account_names(tenant, user)[4] != account_names(other, another)[4]
    assert tenant_of_account(account_names(tenant, user)[4]) == tenant
    assert account_parts(account_names(tenant, user)[2]) == ("tenant", tenant, "day")


def test_requests_without_a_user_count_as_one() -> None:
    assert account_names("acme", None) == account_names("acme", "")


def test_rules_find_the_accounts_they_name() -> None:
    for key in ("acme/bob", "acme/b:b", "acme/*", "*"):
        rule = BudgetRule(scope="user", key=key, limit_nano=1)
        user = key.partition("/")[2] if "/" in key else "x"
        assert rule.name in rules_of_account(account_names("acme", user)[4])


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_every_moment_is_in_its_window(at: datetime) -> None:
    for period in ("day", "month"):
        window = window_of(period, at)
        assert window_start(window) <= at < window_end(window)
        assert window_of(period, window_end(window)) > window


@given(shares, shares, shares, st.floats(0.05, 1))
def test_pressure_only_falls_with_use_and_never_below_the_soft_share(
    a: float, b: float, elapsed: float, soft: float
) -> None:
    less, more = sorted((a, b))
    assert 0.0 <= paced_pressure(more, soft, elapsed) <= paced_pressure(less, soft, elapsed) <= 1.0
    assert paced_pressure(soft * 0.999, soft, elapsed) == 1.0
    assert paced_pressure(1.0, soft, elapsed) == 0.0


@given(shares, shares, shares)
def test_pressure_rises_as_the_period_passes(used: float, a: float, b: float) -> None:
    early, late = sorted((a, b))
    assert paced_pressure(used, 0.5, early) <= paced_pressure(used, 0.5, late) + 1e-12
