"""Counters over restarts, gauges over time, quantiles of buckets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.serving.dashboard.metric_history import MetricHistory, Series, parse_metrics, quantile_from_buckets

A = Series("beast_x_total", (("kind", "a"),))
B = Series("beast_x_total", (("kind", "b"),))
GAUGE = Series("beast_left_usd", ())


def test_a_page_is_parsed_with_its_labels():
    text = '# TYPE beast_x counter\nbeast_x_total{kind="a",of="\\"q\\""} 3.0\nbeast_left_usd 0.5\n'
    assert parse_metrics(text) == {Series("beast_x_total", (("kind", "a"), ("of", '"q"'))): 3.0, GAUGE: 0.5}


def test_what_is_no_metrics_page_is_refused():
    with pytest.raises(ValueError, match=r".+"):
        parse_metrics("<html><body>hello</body></html>")


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 50)), min_size=1, max_size=40))
def test_increases_add_up_over_restarts(steps):
    history, shown, total = MetricHistory(step_s=0.0), 7.0, 0.0
    history.add(0.0, {A: shown})
    for i, (restarts, more) in enumerate(steps):
        # A restart shows as a fall: one that counted as much again at once cannot be told from none.
        restarts = restarts and more < shown
        shown = more if restarts else shown + more
        total += more
        history.add(float(i + 1), {A: shown})
    assert history.increase("beast_x_total", 0.0) == {A: total}


def test_what_was_counted_before_the_first_look_is_no_increase():
    history = MetricHistory()
    history.add(10.0, {A: 1000.0})
    history.add(11.0, {A: 1003.0})
    assert history.increase("beast_x_total", 0.0) == {A: 3.0}


def test_a_series_that_comes_later_has_grown_from_zero():
    history = MetricHistory()
    history.add(10.0, {A: 1.0})
    history.add(12.0, {A: 1.0, B: 4.0})
    assert history.increase("beast_x_total", 11.0, kind="b") == {B: 4.0}


def test_a_series_that_is_gone_for_a_look_keeps_its_count():
    history = MetricHistory()
    for at_s, samples in ((1.0, {A: 5.0}), (2.0, {B: 1.0}), (3.0, {A: 6.0, B: 1.0})):
        history.add(at_s, samples)
    assert history.increase("beast_x_total", 1.0)[A] == 1.0


def test_increase_between_two_times():
    history = MetricHistory()
    for second in range(10):
        history.add(float(second), {A: float(second**2)})
    assert history.increase("beast_x_total", 3.0, 5.0) == {A: 16.0}
    assert history.increase("beast_nothing_total", 3.0) == {}


def test_looks_are_thinned_and_forgotten_but_the_last_one_counts():
    history = MetricHistory(horizon_s=10.0, step_s=1.0)
    for i in range(400):
        history.add(i * 0.1, {A: float(i)})
    assert history.last_s == pytest.approx(39.9)
    assert 28.0 <= history.first_s <= 31.0
    assert history.increase("beast_x_total", 35.0)[A] == pytest.approx(49.0, abs=11)
    assert history.latest("beast_x_total") == {A: 399.0}


def test_gauges_are_as_they_were_or_when_first_seen():
    history = MetricHistory()
    history.add(1.0, {A: 0.0})
    history.add(3.0, {A: 0.0, GAUGE: 5.0})
    history.add(9.0, {A: 0.0, GAUGE: 2.0})
    assert history.gauge_since("beast_left_usd", 0.0) == {GAUGE: (3.0, 5.0)}
    assert history.gauge_since("beast_left_usd", 9.0) == {GAUGE: (9.0, 2.0)}
    history.add(11.0, {A: 0.0})  # it is no longer said
    assert history.latest("beast_left_usd") == {}


@given(st.lists(st.floats(0.0, 2.0), min_size=1, max_size=200), st.sampled_from((0.5, 0.95, 0.99)))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values, q):
    bounds = [0.1, 0.5, 1.0, 2.0, float("inf")]
    buckets = {bound: float(np.sum(np.array(values) <= bound)) for bound in bounds}
    true = float(np.quantile(values, q, method="inverted_cdf"))
    low, high = max((b for b in [0.0, *bounds] if b < true), default=0.0), min(b for b in bounds if b >= true)
    found = quantile_from_buckets(buckets, q)
    assert low - 1e-9 <= found <= high + 1e-9


def test_a_quantile_above_all_bounds_is_the_last_one_and_of_nothing_is_none():
    assert quantile_from_buckets({1.0: 0.0, float("inf"): 5.0}, 0.5) == 1.0
    assert quantile_from_buckets({1.0: 0.0, float("inf"): 0.0}, 0.5) is None
    assert quantile_from_buckets({}, 0.5) is None
