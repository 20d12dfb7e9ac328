import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.errors import InputError, RateLimitedError
from beast_ml.serving.rate_limit import RateLimiter, SharedBuckets


class Seconds:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def seconds():
    return Seconds()


def n_let_through(limiter, tenant, n):
    passed = 0
    for _ in range(n):
        try:
            limiter.take(tenant)
        except RateLimitedError:
            continue
        passed += 1
    return passed


def test_without_a_rate_all_pass():
    assert n_let_through(RateLimiter(None), "acme", 1000) == 1000


def test_a_burst_passes_and_then_the_rate_does(seconds):
    limiter = RateLimiter(10.0, clock=seconds)
    assert n_let_through(limiter, "acme", 50) == 10
    seconds.now += 0.5
    assert n_let_through(limiter, "acme", 50) == 5
    seconds.now += 60.0
    assert n_let_through(limiter, "acme", 50) == 10


def test_a_slow_rate_lets_one_through_at_once(seconds):
    limiter = RateLimiter(0.1, clock=seconds)
    assert n_let_through(limiter, "acme", 5) == 1
    seconds.now += 9.9
    assert n_let_through(limiter, "acme", 5) == 0
    seconds.now += 0.2
    assert n_let_through(limiter, "acme", 5) == 1


def test_tenants_do_not_share_a_bucket(seconds):
    limiter = RateLimiter(5.0, clock=seconds)
    assert n_let_through(limiter, "acme", 50) == 5
    assert n_let_through(limiter, "other", 50) == 5


def test_who_waits_as_told_is_let_through(seconds):
    limiter = RateLimiter(4.0, burst=2, clock=seconds)
    limiter.take("acme", 2)
    with pytest.raises(RateLimitedError, match=r"more than 4 requests a second: wait 0\.250 s") as caught:
        limiter.take("acme")
    seconds.now += caught.value.retry_after_s
    limiter.take("acme")


def test_a_batch_larger_than_a_burst_passes_a_full_bucket_and_is_waited_for_afterwards(seconds):
    limiter = RateLimiter(10.0, clock=seconds)
    limiter.take("acme", 100)
    with pytest.raises(RateLimitedError) as caught:
        limiter.take("acme")
    assert caught.value.retry_after_s == pytest.approx(9.1)
    with pytest.raises(RateLimitedError) as caught:
        limiter.take("acme", 100)
    assert caught.value.retry_after_s == pytest.approx(10.0)
    seconds.now += 10.0
    limiter.take("acme", 100)


@given(
    st.floats(0.1, 1000.0),
    st.integers(1, 50),
    st.lists(st.tuples(st.floats(0.0, 2.0), st.integers(1, 80)), min_size=1, max_size=60),
)
def test_never_more_than_rate_and_burst_and_the_wait_is_always_enough(rate, burst, steps):
    seconds = Seconds()
    limiter = RateLimiter(rate, burst, clock=seconds)
    taken = largest = 0
    for pause, n in steps:
        seconds.now += pause
        try:
            limiter.take("acme", n)
        except RateLimitedError as error:
            seconds.now += error.retry_after_s
            limiter.take("acme", n)
        taken, largest = taken + n, max(largest, n)
        assert taken <= rate * (seconds.now - 1000.0) + max(burst, largest) + 1e-3


@pytest.mark.parametrize(("rate", "burst"), [(0.0, None), (-1.0, None), (float("nan"), None), (1.0, 0.5)])
def test_rates_that_let_nobody_through_are_refused(rate, burst):
    with pytest.raises(InputError, match="must be"):
        RateLimiter(rate, burst)


def test_workers_share_the_buckets_of_a_file(tmp_path, seconds):
    tables = [SharedBuckets(tmp_path) for _ in range(2)]
    first, second = (RateLimiter(10.0, shared=table, clock=seconds) for table in tables)
    assert n_let_through(first, "acme", 4) == 4
    assert n_let_through(second, "acme", 50) == 6
    assert n_let_through(first, "acme", 50) == 0
    assert n_let_through(first, "other", 50) == 10
    for table in tables:
        table.close()


def test_buckets_of_before_the_machine_started_are_forgotten(tmp_path, seconds, monkeypatch):
    before = SharedBuckets(tmp_path)
    limiter = RateLimiter(10.0, shared=before, clock=lambda: 1e7)
    assert n_let_through(limiter, "acme", 50) == 10
    monkeypatch.setattr("beast_ml.serving.rate_limit._boot", lambda: "another")
    after = SharedBuckets(tmp_path)
    assert n_let_through(RateLimiter(10.0, shared=after, clock=seconds), "acme", 50) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["rates-another"]
    before.close()
    after.close()


def test_many_tenants_have_slots_of_their_own(tmp_path):
    table = SharedBuckets(tmp_path)
    slots = {table.slot(f"tenant-{i}")[1] for i in range(2000)}
    assert len(slots) == 2000
    assert table.slot("tenant-7")[1] in slots
    assert len({table.slot(f"tenant-{i}")[1] for i in range(2000)} | slots) == 2000
    table.close()


def test_a_full_table_falls_back_to_buckets_of_the_worker(tmp_path, seconds, monkeypatch):
    monkeypatch.setattr("beast_ml.serving.rate_limit._SLOTS", 2)
    table = SharedBuckets(tmp_path)
    limiter = RateLimiter(3.0, shared=table, clock=seconds)
    assert [n_let_through(limiter, tenant, 9) for tenant in ("a", "b", "c")] == [3, 3, 3]
    assert table.slot("d") is None
    table.close()


def test_processes_share_the_buckets(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from beast_ml.errors import RateLimitedError\n"
        "from beast_ml.serving.rate_limit import RateLimiter, SharedBuckets\n"
        "limiter = RateLimiter(100.0, shared=SharedBuckets(Path(sys.argv[1])), clock=lambda: 1000.0)\n"
        "n = 0\n"
        "try:\n"
        "    while n < 70: limiter.take('acme'); n += 1\n"
        "except RateLimitedError: pass\n"
        "print(n)"
    )
    passed = [
        int(subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    assert passed == [70, 30, 0]
