"""The breaker is a state machine: whatever comes, it keeps these promises."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from beast_ml.errors import InputError
from beast_ml.operations.health import Breaker, BreakerSettings
from beast_ml.operations.health.window import RecentCalls


class Seconds:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Seconds()


@pytest.fixture
def breaker(clock):
    return Breaker(clock=clock)


def opened(breaker):
    while breaker.state == "closed":
        breaker.failed()
    return breaker


def test_it_stays_closed_while_calls_are_answered(breaker, clock):
    for _ in range(100):
        breaker.started()
        breaker.succeeded()
        clock.now += 0.1
    assert breaker.state == "closed"
    assert breaker.allows()
    assert breaker.changes_at() == math.inf


def test_some_failures_in_a_row_open_it(breaker):
    for _ in range(4):
        assert not breaker.failed()
    assert breaker.failed(cause="timeout")
    assert breaker.state == "open"
    assert not breaker.allows()
    assert breaker.cause == "timeout"


def test_an_answer_between_failures_starts_the_row_anew(breaker):
    for _ in range(4):
        breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert breaker.state == "closed"


def test_half_of_many_calls_failing_opens_it_and_a_quarter_does_not(clock):
    for failing_of_four, state in ((1, "closed"), (2, "open")):
        breaker = Breaker(clock=clock)
        for _ in range(10):
            for _ in range(4 - failing_of_four):
                breaker.succeeded()
            for _ in range(failing_of_four):
                breaker.failed()
        assert breaker.state == state


def test_failures_long_ago_are_forgotten(breaker, clock):
    for _ in range(9):
        breaker.failed()
        breaker.succeeded()
    clock.now += 11.0
    for _ in range(15):
        breaker.succeeded()
    breaker.failed()
    assert breaker.state == "closed"
    assert breaker.recent.n_calls == 16


def test_slow_calls_open_it(breaker):
    for _ in range(20):
        breaker.succeeded(slow=True)
    assert breaker.state == "open"
    assert breaker.cause == "slow"


def test_after_the_cooldown_one_call_is_tried_and_then_more(breaker, clock):
    opened(breaker)
    clock.now += 0.99
    assert breaker.state == "open"
    clock.now += 0.01
    assert breaker.state == "half_open"
    for allowed in (1, 2, 3):
        for _ in range(allowed):
            assert breaker.allows()
            breaker.started()
        assert not breaker.allows()
        for _ in range(allowed - 1):
            breaker.forgotten()
        clock.now += 0.1
        breaker.succeeded()
    assert breaker.state == "closed"


def test_cooldowns_double_up_to_the_longest_and_start_anew_after_a_good_time(breaker, clock):
    opened(breaker)
    cooldowns = []
    for _ in range(7):
        cooldowns.append(breaker.changes_at() - clock.now)
        clock.now = breaker.changes_at()
        assert breaker.state == "half_open"
        breaker.started()
        breaker.failed()
    assert cooldowns == pytest.approx([1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0])
    clock.now = breaker.changes_at()
    for _ in range(3):
        breaker.started()
        breaker.succeeded()
    assert breaker.state == "closed"
    clock.now += 60.0
    opened(breaker)
    assert breaker.changes_at() - clock.now == pytest.approx(1.0)


def test_one_that_opens_soon_after_closing_goes_on_backing_off(breaker, clock):
    opened(breaker)
    clock.now += 1.0
    for _ in range(3):
        breaker.started()
        breaker.succeeded()
    opened(breaker)
    assert breaker.changes_at() - clock.now == pytest.approx(2.0)


def test_a_trial_that_never_ends_makes_room_for_another(breaker, clock):
    opened(breaker)
    clock.now += 1.0
    breaker.started()
    assert not breaker.allows()
    clock.now = breaker.changes_at()
    assert breaker.allows()


def test_retry_after_is_respected(breaker, clock):
    breaker.failed(retry_after_s=30.0)
    assert breaker.state == "open"
    for _ in range(29):
        clock.now += 1.0
        assert not breaker.allows()
        breaker.probe_succeeded()
    clock.now += 1.0
    assert breaker.state == "closed"


def test_retry_after_holds_longer_than_the_cooldown(breaker, clock):
    for _ in range(5):
        breaker.failed(retry_after_s=12.0)
    clock.now += 11.9
    assert not breaker.allows()
    clock.now += 0.1
    assert breaker.state == "half_open"


@pytest.mark.parametrize("nonsense", [-5.0, 0.0, math.nan, math.inf])
def test_a_senseless_retry_after_is_no_more_than_a_failure(breaker, nonsense):
    breaker.failed(retry_after_s=nonsense)
    assert breaker.allows()


def test_nobody_is_left_alone_for_more_than_a_day(breaker, clock):
    breaker.failed(retry_after_s=1e12)
    clock.now += 86_400.0
    assert breaker.allows()


def test_calls_from_before_an_outage_do_not_open_it_again(breaker, clock):
    opened(breaker)
    began = clock.now - 1.0
    clock.now += 1.0
    for _ in range(3):
        breaker.started()
        breaker.succeeded()
    clock.now += 30.0
    for _ in range(100):
        assert not breaker.failed(began_at=began, cause="timeout")
    assert breaker.state == "closed"


def test_two_failed_probes_open_it_and_one_answered_lets_calls_try(breaker, clock):
    assert not breaker.probe_failed()
    assert breaker.probe_failed()
    assert breaker.state == "open"
    assert breaker.probe_succeeded()
    assert breaker.state == "half_open"
    assert breaker.allows()


def test_an_answered_call_between_failed_probes_keeps_it_closed(breaker):
    for _ in range(10):
        breaker.probe_failed()
        breaker.succeeded()
    assert breaker.state == "closed"


def test_probes_that_never_saw_the_fault_do_not_end_it(breaker, clock):
    opened(breaker)
    assert not breaker.probe_succeeded()
    assert breaker.state == "open"
    breaker.probe_failed()
    assert breaker.probe_succeeded()


def test_a_failed_probe_does_not_open_a_half_open_one_again(breaker, clock):
    opened(breaker)
    clock.now += 1.0
    for _ in range(10):
        assert not breaker.probe_failed()
    assert breaker.state == "half_open"


@pytest.mark.parametrize("retry_after_s", [None, 30.0])
def test_failed_probes_do_not_open_one_whose_recent_calls_are_answered(breaker, clock, retry_after_s):
    breaker.succeeded()
    clock.now += 5.0
    for _ in range(10):
        assert not breaker.probe_failed(retry_after_s=retry_after_s)
    assert breaker.allows()
    clock.now += 11.0  # nothing is known of it any more
    breaker.probe_failed()
    assert breaker.probe_failed()
    assert breaker.state == "open"


def test_failed_probes_open_one_whose_latest_call_failed(breaker):
    breaker.succeeded()
    breaker.failed()
    breaker.probe_failed()
    assert breaker.probe_failed()


def test_a_half_open_one_may_close_by_itself(clock):
    breaker = Breaker(BreakerSettings(half_open_s=20.0, trial_s=2.0), clock=clock)
    opened(breaker)
    clock.now += 1.0
    assert breaker.changes_at() == clock.now + 20.0
    breaker.started()
    assert breaker.changes_at() == clock.now + 2.0
    clock.now += 19.9
    assert breaker.state == "half_open"
    clock.now += 0.2
    assert breaker.state == "closed"


@pytest.mark.parametrize(
    ("name", "value"),
    [("window_s", 0.0), ("failure_rate", 1.1), ("min_calls", 0), ("max_cooldown_s", 0.5), ("cooldown_s", math.nan)],
)
def test_wrong_settings_are_refused(name, value):
    with pytest.raises(InputError, match=name):
        BreakerSettings(**{name: value})


@given(st.lists(st.tuples(st.floats(0, 5), st.booleans(), st.booleans()), max_size=200))
def test_a_window_counts_what_a_list_of_calls_would(calls):
    recent, now, seen = RecentCalls(10.0), 0.0, []
    for wait_s, failed, slow in calls:
        now += wait_s
        recent.add(now, failed=failed, slow=slow)
        seen.append((int(now / 1.0), failed, slow))
        kept = [each for each in seen if each[0] > int(now / 1.0) - 10]
        assert recent.n_calls == len(kept)
        assert recent.n_failed == sum(each[1] for each in kept)
        assert recent.n_slow == sum(each[2] for each in kept)


class BreakerMachine(RuleBasedStateMachine):
    """Random calls, probes and waits, ends of calls in any order."""

    @initialize(trials=st.integers(1, 4), row=st.integers(1, 6))
    def start(self, trials, row):
        self.clock = Seconds()
        self.settings = BreakerSettings(n_trials=trials, failures_in_a_row=row, min_calls=6)
        self.breaker = Breaker(self.settings, clock=self.clock)
        self.calls = []
        self.rests_until = -math.inf
        self.last_begun = -math.inf

    @rule(seconds=st.floats(0.001, 40.0))
    def wait(self, seconds):
        self.clock.now += seconds

    @rule()
    def call(self):
        if self.breaker.allows():
            assert self.clock.now >= self.rests_until
            self.breaker.started()
            self.calls.append(self.clock.now)

    @rule(data=st.data(), slow=st.booleans())
    def answer(self, data, slow):
        if self.calls:
            self.check_notice(
                lambda: self.breaker.succeeded(slow=slow, began_at=self.calls.pop(self.any_call(data))),
            )

    @rule(data=st.data(), retry_after_s=st.none() | st.floats(-1.0, 60.0))
    def fail(self, data, retry_after_s):
        if self.calls:
            began = self.calls.pop(self.any_call(data))
            self.check_notice(lambda: self.breaker.failed(began_at=began, retry_after_s=retry_after_s))
            if retry_after_s is not None and retry_after_s > 0:
                self.rests_until = max(self.rests_until, self.clock.now + retry_after_s)

    @rule(data=st.data())
    def lose(self, data):
        if self.calls:
            self.calls.pop(self.any_call(data))
            self.check_notice(self.breaker.forgotten)

    @rule(failed=st.booleans())
    def probe(self, failed):
        self.check_notice(self.breaker.probe_failed if failed else self.breaker.probe_succeeded)

    @rule()
    def hint(self):
        state = self.breaker.state
        self.check_notice(lambda: self.breaker.hinted())
        assert self.breaker.state == state

    def any_call(self, data):
        return data.draw(st.integers(0, len(self.calls) - 1))

    def check_notice(self, event):
        """What allows() says may change only when the event says so: whoever caches the answer looks only then."""
        allowed = self.breaker.allows()
        if not event():
            assert self.breaker.allows() == allowed

    @invariant()
    def open_means_no(self):
        if hasattr(self, "breaker") and self.breaker.state == "open":
            assert not self.breaker.allows()
            assert self.clock.now < self.breaker.changes_at() < math.inf

    @invariant()
    def what_time_changes_is_foretold(self):
        if hasattr(self, "breaker"):
            allowed, changes_at = self.breaker.allows(), self.breaker.changes_at()
            if not allowed:
                assert changes_at < math.inf
            now = self.clock.now
            self.clock.now = min(changes_at - 1e-6, now + 1e5) if changes_at > now + 1e-5 else now
            assert self.breaker.allows() == allowed
            self.clock.now = now

    @invariant()
    def it_heals_by_itself(self):
        """Without anything but time it allows a call within the cooldown, or as soon as its rest is over."""
        if hasattr(self, "breaker") and not self.breaker.allows():
            latest = max(self.clock.now + self.settings.max_cooldown_s, self.rests_until)
            assert self.breaker.changes_at() <= latest + 1e-6


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
