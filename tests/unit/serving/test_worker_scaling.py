import pytest

from beast_ml.errors import InputError
from beast_ml.serving.worker_scaling import WorkerScaling


class Host:
    """Looks twice a second, and does what it is told."""

    def __init__(self):
        self.now = 0.0
        self.scaling = WorkerScaling(1, 3, busy=0.7, busy_s=5.0, calm=0.4, calm_s=180.0, clock=lambda: self.now)
        self.n = 1

    def spend(self, seconds, load):
        """Have all workers together use so many cores, for so long."""
        end = self.now + seconds
        while self.now < end:
            self.now += 0.5
            self.n += self.scaling.step(self.n, min(load / self.n, 1.0))
        return self.n


def test_load_adds_workers_up_to_the_most_within_a_minute():
    assert Host().spend(60.0, load=10.0) == 3


def test_a_moment_of_load_adds_none():
    host = Host()
    for _ in range(20):
        assert host.spend(4.0, load=1.0) == 1
        host.spend(1.0, load=0.1)


def test_a_worker_is_added_once_and_what_that_changes_is_seen_first():
    host = Host()
    assert host.spend(6.0, load=1.2) == 2  # 0.6 of each: enough
    assert host.spend(600.0, load=1.2) == 2


def test_minutes_of_calm_take_workers_away_one_after_another_down_to_the_least():
    host = Host()
    host.spend(60.0, load=10.0)
    assert host.spend(179.0, load=0.0) == 3
    assert host.spend(10.0, load=0.0) == 2
    assert host.spend(200.0, load=0.0) == 1
    assert host.spend(600.0, load=0.0) == 1


def test_calm_that_one_worker_fewer_would_not_have_takes_none_away():
    host = Host()
    host.spend(6.0, load=1.2)
    assert host.spend(600.0, load=0.5) == 2  # 0.5 of the one that stayed
    assert host.spend(200.0, load=0.3) == 1


def test_a_moment_of_load_begins_the_calm_anew():
    host = Host()
    host.spend(6.0, load=1.2)
    for _ in range(5):
        assert host.spend(170.0, load=0.0) == 2
        assert host.spend(1.0, load=1.0) == 2


@pytest.mark.parametrize(("least", "most"), [(0, 1), (3, 2)])
def test_bounds_that_contradict_each_other_are_refused(least, most):
    with pytest.raises(InputError, match="workers"):
        WorkerScaling(least, most, clock=lambda: 0.0)


def test_calm_must_be_less_than_busy():
    with pytest.raises(InputError, match="calm"):
        WorkerScaling(1, 2, busy=0.4, calm=0.4, clock=lambda: 0.0)
