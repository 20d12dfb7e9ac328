from concurrent.futures import ThreadPoolExecutor

import pytest

from beast_ml.cache.tier_health import TierHealth
from beast_ml.errors import InputError


class World:
    def __init__(self) -> None:
        self.now = 0.0
        self.health = TierHealth(rest_s=1.0, max_rest_s=8.0, clock=lambda: self.now)


def test_rests_double_up_to_a_bound_and_begin_anew_after_an_answer() -> None:
    world, rests = World(), []
    for _ in range(6):
        world.health.failed()
        rests.append(world.health.rests_s())
        assert not world.health.allows()
        world.now += rests[-1]
        assert world.health.allows()
    assert rests == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    world.health.succeeded()
    world.health.failed()
    assert world.health.rests_s() == 1.0


def test_failures_of_calls_made_at_once_count_as_one() -> None:
    world = World()
    for _ in range(10):
        world.health.failed()
    assert world.health.rests_s() == 1.0


def test_one_trial_at_a_time_and_another_if_its_end_is_never_told() -> None:
    world = World()
    world.health.failed()
    world.now = 1.0
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(lambda _: world.health.allows(), range(50))) == 1
    world.now += 5.0
    assert world.health.allows()


def test_impossible_rests_are_refused() -> None:
    with pytest.raises(InputError, match="rest_s"):
        TierHealth(rest_s=2.0, max_rest_s=1.0)
