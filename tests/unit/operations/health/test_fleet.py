import logging
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from beast_ml.domain.endpoint import Endpoint
from beast_ml.domain.failure import ERROR_KINDS
from beast_ml.errors import InputError
from beast_ml.operations.health import BreakerSettings, FleetHealth

MODELS = ("small", "large")
NO_FAULT = (
    "context_length",
    "content_filter",
    "invalid_request",
    "budget",
    "ledger",
    "no_candidate",
    "unreported",
    "internal",
)


class Seconds:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Seconds()


def endpoints(model, n):
    return [Endpoint(f"{model}@{i}", model, "http://localhost", region=f"r{i}") for i in range(n)]


@pytest.fixture
def fleet(clock):
    return FleetHealth(endpoints("small", 2) + endpoints("large", 1), MODELS, clock=clock, rng=random.Random(0))


def kill(fleet, name, n=5):
    for _ in range(n):
        fleet.finished(name, "provider", 0.0)


def test_a_model_is_masked_once_all_its_endpoints_are_out_and_comes_back_by_itself(fleet, clock):
    assert fleet.masked_models() == frozenset()
    kill(fleet, "small@0")
    assert fleet.masked_models() == frozenset()
    assert {fleet.pick("small").name for _ in range(10)} == {"small@1"}
    kill(fleet, "small@1")
    assert fleet.masked_models() == {"small"}
    assert fleet.pick("small") is None
    clock.now += 1.0
    assert fleet.masked_models() == frozenset()


def test_the_mask_is_the_same_object_while_nothing_changes(fleet):
    kill(fleet, "large@0")
    masked = fleet.masked_models()
    for _ in range(10):
        fleet.started("small@0")
        fleet.finished("small@0", None, 0.3)
        assert fleet.masked_models() is masked


def test_a_half_open_model_is_masked_while_its_trial_is_under_way(fleet, clock):
    kill(fleet, "large@0")
    clock.now += 1.0
    assert fleet.pick("large").name == "large@0"
    fleet.started("large@0")
    assert fleet.masked_models() == {"large"}
    assert fleet.pick("large") is None
    clock.now += 0.2
    fleet.finished("large@0", None, 0.2)
    assert fleet.masked_models() == frozenset()


def test_a_trial_given_up_by_the_client_makes_room_for_another(fleet, clock):
    kill(fleet, "large@0")
    clock.now += 1.0
    fleet.started("large@0")
    fleet.finished("large@0", None, None)
    assert fleet.pick("large") is not None


@pytest.mark.parametrize("kind", ERROR_KINDS)
def test_only_the_endpoints_own_faults_mask_it(fleet, kind):
    for _ in range(50):
        fleet.started("large@0")
        fleet.finished("large@0", kind, 0.1)
    assert fleet.masked_models() == (frozenset() if kind in NO_FAULT else {"large"})


def test_retry_after_masks_at_once_and_for_as_long_as_asked(fleet, clock):
    fleet.finished("large@0", "rate_limit", 0.1, retry_after_s=7.0)
    assert fleet.masked_models() == {"large"}
    assert fleet.rests_for_s("large@0") == pytest.approx(7.0)
    clock.now += 6.99
    assert fleet.masked_models() == {"large"}
    clock.now += 0.02
    assert fleet.masked_models() == frozenset()


def test_when_a_masked_model_is_tried_again_is_known(fleet, clock):
    assert fleet.tried_again_in_s("large") == fleet.tried_again_in_s("nobody") == 0.0
    kill(fleet, "large@0")
    assert fleet.tried_again_in_s("large") == pytest.approx(1.0)
    fleet.finished("small@0", "rate_limit", 0.1, retry_after_s=7.0)
    assert fleet.tried_again_in_s("small") == 0.0
    fleet.finished("small@1", "rate_limit", 0.1, retry_after_s=9.0)
    clock.now += 2.0
    assert fleet.tried_again_in_s("small") == pytest.approx(5.0)
    fleet.started("large@0")  # a trial, which may last ten seconds, and mostly ends within one
    assert fleet.masked_models() == {"small", "large"}
    assert fleet.tried_again_in_s("large") == pytest.approx(1.0)


def test_tried_endpoints_are_left_out(fleet):
    assert fleet.pick("small", frozenset({"small@0"})).name == "small@1"
    assert fleet.pick("small", frozenset({"small@0", "small@1"})) is None
    assert fleet.pick("nobody") is None


def test_timeouts_that_come_in_after_healing_do_not_mask_it_again(fleet, clock):
    for _ in range(60):
        fleet.started("large@0")
    for _ in range(2):
        fleet.probed("large@0", "timeout")
    assert fleet.masked_models() == {"large"}
    clock.now += 20.0
    fleet.probed("large@0", None)
    for _ in range(3):
        fleet.started("large@0")
        clock.now += 0.5
        fleet.finished("large@0", None, 0.5)
    clock.now += 40.0
    for _ in range(60):
        fleet.finished("large@0", "timeout", 60.5)
    assert fleet.masked_models() == frozenset()


def test_an_endpoint_far_slower_than_usual_is_masked_and_what_stays_slow_is_the_new_usual(fleet, clock):
    rng = random.Random(3)
    for _ in range(200):
        fleet.finished("large@0", None, rng.lognormvariate(0.5, 0.5))
        clock.now += 1.0
    assert fleet.masked_models() == frozenset()
    for _ in range(30):
        fleet.finished("large@0", None, 40.0 * rng.lognormvariate(0.0, 0.2))
        clock.now += 0.1
    assert fleet.masked_models() == {"large"}
    assert next(each for each in fleet.snapshot() if each.name == "large@0").cause == "slow"
    began = clock.now
    while fleet.state("large@0") != "closed":
        if fleet.pick("large") is not None:
            fleet.started("large@0")
            clock.now += 40.0
            fleet.finished("large@0", None, 40.0)
        clock.now += 1.0
        assert clock.now - began < 1800.0


def test_an_endpoint_that_always_takes_long_is_not_slow(fleet, clock):
    rng = random.Random(4)
    for _ in range(500):
        fleet.finished("large@0", None, rng.lognormvariate(4.0, 0.8))
        clock.now += 0.2
    assert fleet.masked_models() == frozenset()


def test_where_a_deployment_only_routes_every_model_has_an_implicit_endpoint(clock):
    fleet = FleetHealth((), MODELS, clock=clock)
    assert fleet.endpoints == ()
    assert [each.name for each in fleet.snapshot()] == list(MODELS)
    kill(fleet, "small")
    assert fleet.masked_models() == {"small"}
    assert fleet.pick("large") is None  # it has no address
    clock.now += 1.0
    assert fleet.masked_models() == frozenset()


def test_a_new_router_keeps_what_is_known_of_those_who_stay(clock):
    fleet = FleetHealth(endpoints("large", 1), ("small", "large"), clock=clock)
    kill(fleet, "small")
    kill(fleet, "large@0")
    fleet.follow(("small", "new"))
    assert fleet.masked_models() == {"small", "large"}
    assert {each.model for each in fleet.snapshot()} == {"small", "large", "new"}
    fleet.follow(("new",))
    assert fleet.masked_models() == {"large"}  # it has an address: clients may name it
    fleet.finished("small", None, 0.1)
    fleet.started("small")


def test_two_endpoints_of_one_name_are_refused():
    with pytest.raises(InputError, match="two endpoints are named 'small@0'"):
        FleetHealth(endpoints("small", 1) * 2, MODELS)


def test_an_endpoint_named_as_a_model_without_one_is_reported(clock, caplog):
    with caplog.at_level(logging.ERROR, "beast_ml"):
        fleet = FleetHealth([Endpoint("large", "small", "http://localhost")], MODELS, clock=clock)
    assert "endpoint.named_as_a_model" in caplog.text
    assert fleet.masked_models() == frozenset()


def test_opening_and_closing_are_said_once(fleet, clock, caplog):
    with caplog.at_level(logging.INFO, "beast_ml"):
        kill(fleet, "large@0", 20)
        clock.now += 1.0
        fleet.masked_models()
        for _ in range(3):
            fleet.started("large@0")
            fleet.finished("large@0", None, 0.0)
    said = [record.getMessage() for record in caplog.records]
    assert [text.split('"event": "')[1].split('"')[0] for text in said] == [
        "endpoint.opened",
        "endpoint.half_open",
        "endpoint.closed",
    ]


def test_a_snapshot_tells_what_is_known(fleet, clock):
    for _ in range(3):
        fleet.started("small@1")
    fleet.finished("small@1", None, 2.0)
    kill(fleet, "large@0")
    idle, busy, out = fleet.snapshot()
    assert (idle.state, idle.in_flight, idle.latency_s, idle.n_calls) == ("closed", 0, None, 0)
    assert (busy.in_flight, busy.n_calls, busy.failure_rate, busy.region) == (2, 1, 0.0, "r1")
    assert busy.latency_s == pytest.approx(2.0)
    assert (out.state, out.may_be_called, out.cause, out.failure_rate) == ("open", False, "provider", 1.0)
    assert out.tries_again_in_s == pytest.approx(1.0)


class FleetMachine(RuleBasedStateMachine):
    """Whatever happens in whatever order, the cached mask is what the breakers say, and picks may be called."""

    @initialize(n_small=st.integers(0, 3), n_large=st.integers(0, 2))
    def start(self, n_small, n_large):
        self.clock = Seconds()
        self.fleet = FleetHealth(
            endpoints("small", n_small) + endpoints("large", n_large),
            MODELS,
            settings=BreakerSettings(failures_in_a_row=2, min_calls=5),
            clock=self.clock,
            rng=random.Random(0),
        )
        self.names = [each.name for each in self.fleet.snapshot()]
        self.in_flight = []

    @rule(seconds=st.floats(0.0, 15.0))
    def wait(self, seconds):
        self.clock.now += seconds

    @rule(model=st.sampled_from(MODELS), n_tried=st.integers(0, 2), data=st.data())
    def call(self, model, n_tried, data):
        tried = frozenset(data.draw(st.permutations(self.names))[:n_tried])
        endpoint = self.fleet.pick(model, tried)
        if endpoint is not None:
            assert endpoint.model == model
            assert endpoint.name not in tried
            assert next(each for each in self.fleet.snapshot() if each.name == endpoint.name).may_be_called
            self.fleet.started(endpoint.name)
            self.in_flight.append((endpoint.name, self.clock.now))

    @rule(data=st.data(), kind=st.none() | st.sampled_from(ERROR_KINDS), retry_after_s=st.none() | st.floats(0, 40))
    def end(self, data, kind, retry_after_s):
        if self.in_flight:
            name, began = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
            latency_s = data.draw(st.sampled_from([None, self.clock.now - began]))
            self.fleet.finished(name, kind, latency_s, retry_after_s)

    @rule(data=st.data(), kind=st.sampled_from([None, "provider", "timeout", "rate_limit", "auth"]))
    def tell(self, data, kind):
        self.fleet.finished(data.draw(st.sampled_from(self.names)), kind, 0.5)

    @rule(data=st.data(), kind=st.sampled_from([None, "provider", "timeout"]))
    def probe(self, data, kind):
        self.fleet.probed(data.draw(st.sampled_from(self.names)), kind)

    @invariant()
    def the_mask_is_what_breakers_say(self):
        if hasattr(self, "fleet"):
            masked = self.fleet.masked_models()
            callable_models = {each.model for each in self.fleet.snapshot() if each.may_be_called}
            out = set(MODELS) - callable_models
            if out == set(MODELS):
                out &= {each.model for each in self.fleet.endpoints}
            assert masked == out

    @invariant()
    def in_flight_is_never_negative(self):
        if hasattr(self, "fleet"):
            assert all(each.in_flight >= 0 for each in self.fleet.snapshot())

    @invariant()
    def nothing_stays_masked_for_ever(self):
        if hasattr(self, "fleet"):
            assert all(each.tries_again_in_s < math.inf for each in self.fleet.snapshot())


TestFleetMachine = FleetMachine.TestCase
TestFleetMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 12), seed=st.integers(0, 1000))
def test_idle_equal_endpoints_take_turns_exactly(n, seed):
    fleet = FleetHealth(endpoints("small", n), rng=random.Random(seed))
    names = [fleet.pick("small").name for _ in range(20 * n)]
    for begin in range(0, 20 * n, n):
        assert len(set(names[begin : begin + n])) == n


@pytest.fixture
def unaddressed(clock):
    return FleetHealth(endpoints("small", 1), MODELS, clock=clock, rng=random.Random(0))


def test_of_a_model_clients_call_one_decision_at_a_time_is_a_trial(unaddressed, clock):
    kill(unaddressed, "large")
    assert unaddressed.masked_models() == {"large"}
    clock.now += 1.0
    assert unaddressed.masked_models() == frozenset()
    unaddressed.taken("large")
    assert unaddressed.masked_models() == {"large"}  # until what came of it is told
    clock.now += 0.6
    unaddressed.told("large", None, 0.5, tenant="acme")
    assert unaddressed.masked_models() == frozenset()
    unaddressed.taken("small")
    assert unaddressed.masked_models() == frozenset()


def test_what_clients_tell_says_nothing_of_endpoints_we_call():
    fleet = FleetHealth([Endpoint("small", "small", "http://localhost")], MODELS)
    for _ in range(9):
        fleet.told("small", "provider", None, tenant="acme")
        fleet.told("large", "provider", None, tenant="acme")
    assert fleet.masked_models() == {"large"}


def tell(fleet, model, tenant, kind="provider", n=9):
    for _ in range(n):
        fleet.told(model, kind, 0.0, tenant=tenant)


@pytest.mark.parametrize("kind", ["auth", "rate_limit", "invalid_request", "internal"])
def test_what_may_be_the_clients_own_fault_masks_nothing(unaddressed, kind):
    tell(unaddressed, "large", "acme", kind, 50)
    assert unaddressed.masked_models() == frozenset()


def test_one_tenant_alone_masks_nothing_for_others(unaddressed, clock):
    unaddressed.taken("small", "other")
    tell(unaddressed, "large", "acme", n=50)
    assert unaddressed.masked_models() == frozenset()
    clock.now += 61.0  # the other has gone
    tell(unaddressed, "large", "acme")
    assert unaddressed.masked_models() == {"large"}


def test_failures_that_two_tenants_meet_mask(unaddressed):
    unaddressed.told("large", "timeout", 0.0, tenant="other")
    tell(unaddressed, "large", "acme")
    assert unaddressed.masked_models() == {"large"}


def test_a_tenant_that_is_answered_again_does_not_vouch_for_anothers_failures(unaddressed):
    unaddressed.told("large", "timeout", 0.0, tenant="other")
    unaddressed.told("large", None, 0.1, tenant="other")
    tell(unaddressed, "large", "acme", n=50)
    assert unaddressed.masked_models() == frozenset()


def test_latencies_that_clients_tell_mask_nothing(unaddressed, clock):
    for latency_s in [0.001] * 200 + [500.0] * 200:
        clock.now += 600.0
        unaddressed.told("large", None, latency_s, tenant="acme")
    assert unaddressed.masked_models() == frozenset()


def test_trials_that_nobody_tells_of_end_in_seconds_and_then_the_breaker_closes(unaddressed, clock):
    tell(unaddressed, "large", "acme")
    clock.now += 1.0
    for _ in range(10):
        unaddressed.taken("large", "acme")
        assert unaddressed.masked_models() == {"large"}
        clock.now += 2.0
        assert unaddressed.masked_models() == frozenset()
    clock.now += 10.0
    assert unaddressed.state("large") == "closed"
    unaddressed.taken("large", "acme")
    assert unaddressed.masked_models() == frozenset()


def test_what_clients_tell_never_masks_every_model(clock):
    fleet = FleetHealth((), MODELS, clock=clock)
    tell(fleet, "small", "acme")
    assert fleet.masked_models() == {"small"}
    tell(fleet, "large", "acme")
    assert fleet.masked_models() == frozenset()
    clock.now += 1.0
    fleet.told("large", None, 0.1, tenant="acme")
    fleet.taken("small", "acme")
    assert fleet.masked_models() == {"small"}


def test_a_model_that_clients_call_is_asked_where_all_that_we_call_are_out(unaddressed):
    kill(unaddressed, "small@0")
    tell(unaddressed, "large", "acme")
    assert unaddressed.masked_models() == {"small"}
