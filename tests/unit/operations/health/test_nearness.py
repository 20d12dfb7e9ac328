import random

import pytest

from beast_ml.domain.endpoint import Endpoint
from beast_ml.errors import InputError
from beast_ml.operations.health import FleetHealth, RegionDistances

HERE = RegionDistances("us", {"eu": {"us": 0.08}, "ap": {"us": 0.2}})


class Seconds:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Seconds()


def make_fleet(clock, *regions, distances=HERE):
    endpoints = [Endpoint(f"{n}-{region}", "m", "http://localhost", region=region) for n, region in enumerate(regions)]
    return FleetHealth(endpoints, ["m"], clock=clock, rng=random.Random(0), distances=distances)


def picked(fleet, n=20):
    fleet._clock.now += 0.2
    return {fleet.pick("m").region for _ in range(n)}


def answer(fleet, name, seconds, n=10):
    for _ in range(n):
        fleet.started(name)
        fleet.finished(name, None, seconds * fleet._rng.uniform(0.9, 1.1))


def test_calls_stay_in_the_own_region_and_are_shared_within_it(clock):
    fleet = make_fleet(clock, "us", "eu", "us", "ap")
    assert [fleet.pick("m").name for _ in range(4)] == ["0-us", "2-us", "0-us", "2-us"]


def test_endpoints_that_name_no_region_are_as_near_as_the_own_ones(clock):
    assert picked(make_fleet(clock, "us", "", "eu")) == {"us", ""}


def test_without_a_region_of_its_own_a_deployment_shares_calls_among_all(clock):
    assert picked(make_fleet(clock, "us", "eu", distances=None)) == {"us", "eu"}


def test_the_next_nearest_takes_over_while_the_own_region_is_out(clock):
    fleet = make_fleet(clock, "ap", "us", "eu")
    for _ in range(5):
        fleet.finished("1-us", "provider", 0.0)
    assert picked(fleet) == {"eu"}
    assert fleet.pick("m", frozenset({"2-eu"})).region == "ap"


def test_a_request_that_was_refused_here_is_tried_there(clock):
    fleet = make_fleet(clock, "us", "eu")
    assert fleet.pick("m", frozenset({"0-us"})).region == "eu"


def test_the_own_region_is_left_when_it_slows_down_beyond_the_way_to_the_next(clock):
    fleet = make_fleet(clock, "us", "eu")
    answer(fleet, "0-us", 1.0, n=200)
    assert picked(fleet) == {"us"}
    answer(fleet, "0-us", 1.2, n=40)
    assert picked(fleet) == {"us"}
    answer(fleet, "0-us", 3.0, n=40)
    assert picked(fleet) == {"eu"}


def test_what_was_measured_of_the_other_region_goes_before_what_was_expected(clock):
    fleet = make_fleet(clock, "us", "eu")
    answer(fleet, "0-us", 1.0, n=200)
    answer(fleet, "0-us", 3.0, n=40)
    answer(fleet, "1-eu", 4.0)
    assert picked(fleet) == {"us"}


def test_the_own_region_is_tried_again_after_a_while(clock):
    fleet = make_fleet(clock, "us", "eu")
    answer(fleet, "0-us", 1.0, n=200)
    answer(fleet, "0-us", 3.0, n=40)
    assert picked(fleet) == {"eu"}
    clock.now += 3600.0
    answer(fleet, "1-eu", 1.1)
    assert picked(fleet, 1) == {"us"}


def test_another_region_that_was_slow_once_is_tried_again_for_a_moment_and_taken_when_it_is_quick(clock):
    fleet = make_fleet(clock, "us", "eu")
    answer(fleet, "1-eu", 6.0, n=100)
    answer(fleet, "0-us", 1.0, n=200)
    answer(fleet, "0-us", 3.0, n=40)
    assert picked(fleet) == {"us"}
    clock.now += 121.0
    answer(fleet, "0-us", 3.0)
    assert picked(fleet) == {"eu"}
    assert picked(fleet) == {"us"}  # nothing was heard of it yet
    answer(fleet, "1-eu", 6.0)
    assert picked(fleet) == {"us"}  # it is slow still
    clock.now += 121.0
    answer(fleet, "0-us", 3.0)
    assert picked(fleet) == {"eu"}
    answer(fleet, "1-eu", 1.1, n=20)
    assert [picked(fleet) for _ in range(3)] == [{"eu"}] * 3


def test_the_own_region_is_tried_again_however_alike_its_answers_were(clock):
    fleet = make_fleet(clock, "us", "eu")
    for seconds, n in ((1.0, 200), (3.0, 200)):
        for _ in range(n):
            fleet.started("0-us")
            fleet.finished("0-us", None, seconds)
    answer(fleet, "1-eu", 1.1)
    assert picked(fleet) == {"eu"}
    clock.now += 121.0
    answer(fleet, "1-eu", 1.1)
    assert [picked(fleet), picked(fleet)] == [{"us"}, {"eu"}]
    clock.now += 121.0
    answer(fleet, "1-eu", 1.1)
    assert picked(fleet) == {"us"}
    answer(fleet, "0-us", 1.0, n=40)
    assert picked(fleet) == {"us"}


def test_a_distance_is_the_same_both_ways_and_a_tenth_of_a_second_where_nobody_said():
    assert [HERE.of(region) for region in ("us", "eu", "ap", "sa", "")] == [0.0, 0.08, 0.2, 0.1, 0.0]
    assert RegionDistances("eu", {"eu": {"us": 0.08}}).of("us") == 0.08
    assert RegionDistances().of("eu") == 0.0


@pytest.mark.parametrize("seconds", [-0.1, float("nan"), float("inf")])
def test_a_distance_that_is_no_time_is_refused(seconds):
    with pytest.raises(InputError, match="round trip"):
        RegionDistances("eu", {"eu": {"us": seconds}})
