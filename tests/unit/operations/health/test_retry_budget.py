import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.errors import InputError
from beast_ml.operations.health import RetryBudget


@given(st.floats(0, 1), st.floats(0, 5), st.floats(1, 20), st.lists(st.floats(-1, 1) | st.booleans(), max_size=300))
def test_further_calls_never_exceed_the_share_of_requests_and_the_floor(share, floor_per_s, most, steps):
    now, latest, n_requests, n_taken = 0.0, 0.0, 0, 0
    budget = RetryBudget(share, floor_per_s, most, clock=lambda: now)
    for step in steps:
        if step is True:
            budget.request()
            n_requests += 1
        elif step is False:
            n_taken += budget.take()
        else:
            now += step  # a clock that goes back gives nothing
            latest = max(latest, now)
        assert n_taken <= share * n_requests + floor_per_s * latest + most + 1e-6


def test_an_outage_of_everything_costs_a_share_of_further_calls():
    now = 0.0
    budget = RetryBudget(0.2, 0.0, 10.0, clock=lambda: now)
    taken = 0
    for _ in range(1000):
        budget.request()
        taken += budget.take()
    assert taken == pytest.approx(200 + 10, abs=1)


def test_a_quiet_server_may_still_retry():
    now = 0.0
    budget = RetryBudget(0.0, 1.0, 1.0, clock=lambda: now)
    assert budget.take()
    assert not budget.take()
    now = 1.0
    assert budget.take()


@pytest.mark.parametrize(("name", "value"), [("share", 1.5), ("floor_per_s", -1.0), ("most", 0.0)])
def test_wrong_settings_are_refused(name, value):
    with pytest.raises(InputError, match=name):
        RetryBudget(**{name: value})
