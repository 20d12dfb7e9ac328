from collections import Counter
from hashlib import blake2b

import numpy as np
import pytest

from beast_ml.cache.admission import FrequencySketch, Worth
from beast_ml.errors import InputError
from beast_ml.testing.cache_entries import cache_entry, cache_key


def digest(n: int) -> bytes:
    return blake2b(n.to_bytes(4), digest_size=16).digest()


def test_the_sketch_never_underestimates_and_seldom_overestimates() -> None:
    rng = np.random.default_rng(0)
    keys = rng.zipf(1.3, size=9000) % 4000
    sketch, truth = FrequencySketch(16_000), Counter(keys.tolist())
    for key in keys.tolist():
        sketch.add(digest(key))
    errors = np.array([sketch.estimate(digest(key)) - min(n, 256) for key, n in truth.items()])
    assert errors.min() >= 0
    assert np.mean(errors > 0) < 0.03
    unseen = [sketch.estimate(digest(10_000 + n)) for n in range(1000)]
    assert np.mean(np.array(unseen) > 0) < 0.05  # the doorkeeper's false positives


def test_the_past_fades() -> None:
    sketch = FrequencySketch(1000)
    for _ in range(15):
        sketch.add(digest(0))
    before = sketch.estimate(digest(0))
    for n in range(1, 40_000):
        sketch.add(digest(n % 300 + 1))
    assert before == 15
    assert sketch.estimate(digest(0)) <= 3


def test_a_hit_saves_dollars_and_seconds() -> None:
    entry = cache_entry("one", cache_key(), 0.0, cost_usd=0.01, latency_s=5.0)
    assert Worth(usd_per_s=0.002).of(entry) == pytest.approx(0.02)
    assert Worth(usd_per_s=0.0, least_usd=0.5).of(entry) == 0.5


@pytest.mark.parametrize("cost_usd", [float("nan"), float("inf"), -1.0])
def test_a_cost_that_is_none_counts_as_unknown(cost_usd: float) -> None:
    assert Worth(least_usd=1e-6).priced(cost_usd, 0.0) == 1e-6


def test_impossible_settings_are_refused() -> None:
    for make in (
        lambda: Worth(usd_per_s=-1.0),
        lambda: Worth(usd_per_s=float("nan")),
        lambda: Worth(least_usd=0.0),
        lambda: FrequencySketch(0),
    ):
        with pytest.raises(InputError, match="must be"):
            make()
