import numpy as np
import pytest

from beast_ml.cache.forecast import DemandHistory, fit_forecast, measure_forecast
from beast_ml.errors import NotEnoughDataError

HOUR_S = 3_600.0


def seasonal_world(n_days, rng, n_keys=40):
    """Return (T, K) true rates: levels that differ a thousandfold, and a peak hour of each key's own."""
    level = np.exp(rng.normal(-2.0, 1.5, n_keys))
    peak = rng.integers(0, 24, n_keys)
    hours = np.arange(n_days * 24)
    return level * (1 + 0.9 * np.cos(2 * np.pi * (hours[:, None] - peak) / 24))


def history_of(rates, rng):
    return DemandHistory(tuple(f"k{i}" for i in range(rates.shape[1])), 0, rng.poisson(rates).astype(np.int32))


def test_requests_are_counted_by_hour_and_key():
    at_s = [7.2 * HOUR_S, 7.9 * HOUR_S, 9.0 * HOUR_S, 9.5 * HOUR_S, 12.0 * HOUR_S]
    history = DemandHistory.of_requests(at_s, ["a", "a", "b", "a", "a"], until_s=12 * HOUR_S)
    assert history.keys == ("a", "b")
    assert history.first_hour == 7
    assert history.counts.tolist() == [[2, 0], [0, 0], [1, 1], [0, 0], [0, 0]]
    assert DemandHistory.of_requests(at_s, ["a", "a", "b", "a", "a"], least=2).keys == ("a",)
    with pytest.raises(NotEnoughDataError, match="nothing to forecast"):
        DemandHistory.of_requests([], [])


def test_beats_the_baselines_on_hours_it_has_not_seen():
    rng = np.random.default_rng(0)
    accuracy = measure_forecast(history_of(seasonal_world(14, rng), rng), n_held_out=24)
    ours = accuracy.deviance.pop("seasonal")
    assert set(accuracy.deviance) == {"last value", "same hour yesterday", "mean"}
    assert ours < 0.95 * min(accuracy.deviance.values())
    assert accuracy.mean_absolute_error["seasonal"] == min(accuracy.mean_absolute_error.values())


def test_expects_what_is_true_on_average():
    rng = np.random.default_rng(1)
    rates = seasonal_world(15, rng)
    forecast = fit_forecast(history_of(rates[:-24], rng), 24)
    assert forecast.total(24).sum() == pytest.approx(rates[-24:].sum(), rel=0.1)
    busy = np.argmax(rates[-24:].sum(axis=0))
    assert np.corrcoef(forecast.expected[:, busy], rates[-24:, busy])[0, 1] > 0.8


def test_probabilities_of_any_request_are_calibrated():
    rng = np.random.default_rng(2)
    said, was = [], []
    for _ in range(30):
        rates = seasonal_world(8, rng)
        world = history_of(rates, rng)
        said.append(fit_forecast(world.before(7 * 24), 6, 72.0, 20.0).probability_of_any(6))
        was.append(world.counts[7 * 24 : 7 * 24 + 6].sum(axis=0) > 0)
    said, was = np.concatenate(said), np.concatenate(was)
    for low, high in ((0.05, 0.3), (0.3, 0.7), (0.7, 0.95)):
        some = (said >= low) & (said < high)
        assert some.sum() > 80
        assert was[some].mean() == pytest.approx(said[some].mean(), abs=0.1)


def test_what_is_no_longer_asked_is_no_longer_expected():
    counts = np.zeros((14 * 24, 2), dtype=np.int32)
    counts[: 10 * 24, 0] = counts[10 * 24 :, 1] = 3
    forecast = fit_forecast(DemandHistory(("old", "new"), 0, counts), 6)
    assert forecast.expected[:, 1].min() > 10 * forecast.expected[:, 0].max()


def test_a_short_history_will_do_for_a_forecast_but_not_for_its_accuracy():
    history = DemandHistory(("a",), 0, np.ones((3, 1), dtype=np.int32))
    assert 0.3 < fit_forecast(history, 2).expected[0, 0] < 3.0
    with pytest.raises(NotEnoughDataError, match="to hold out"):
        measure_forecast(history)
