"""How often the interval of a month's cost holds what the month cost in the end."""

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import binom

from beast_ml.domain import Price
from beast_ml.operations.costs.daily_model import draw_days

_SERIES = 80
_AHEAD = 10


def requests(rng, week):
    """Calls come by chance, and each costs its own."""
    return np.array([rng.lognormal(-6, 1.2, rng.poisson(200 * share)).sum() for share in week])


def drifting(rng, week):
    return week * np.exp(np.cumsum(rng.normal(0, 0.05, len(week))) + rng.normal(0, 0.1, len(week)))


def weekdays_only(rng, week):
    return np.where(week < 1.0, 0.0, requests(rng, week))


@pytest.mark.parametrize("history", [10, 30])
@pytest.mark.parametrize("world", [requests, drifting, weekdays_only])
def test_the_interval_holds_the_truth_as_often_as_it_says(world, history) -> None:
    held = 0
    week = np.where(np.arange(history + _AHEAD) % 7 >= 5, 0.4, 1.0)
    for seed in range(_SERIES):
        rng = np.random.default_rng([seed, history])
        cost = world(rng, week)
        total = draw_days(cost[:history], _AHEAD, rng, 800).sum(axis=1)
        low, high = np.quantile(total, [0.025, 0.975])
        held += bool(low <= cost[history:].sum() <= high)
    assert held >= binom.ppf(0.001, _SERIES, 0.95)


def test_with_more_days_the_interval_is_narrower() -> None:
    widths = []
    for history in (10, 30, 80):
        week = np.where(np.arange(history + _AHEAD) % 7 >= 5, 0.4, 1.0)
        rng = np.random.default_rng(history)
        total = draw_days(requests(rng, week)[:history], _AHEAD, rng, 2000).sum(axis=1)
        low, middle, high = np.quantile(total, [0.025, 0.5, 0.975])
        widths.append((high - low) / middle)
    assert widths[0] > widths[1] > widths[2]
    assert widths[1] < 0.5


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["trace_azure2023_conv", "trace_azure2023_code", "trace_mooncake_conversation"])
def test_it_holds_on_a_real_trace(name) -> None:
    """The minutes of a real hour stand for days: bursts and token counts are what they were, at a price."""
    path = Path(os.environ.get("BEAST_DATA_DIR", "")) / name / "trace.parquet"
    if not path.is_file():
        pytest.skip(f"no {path}")
    trace = pq.read_table(path, columns=["timestamp_s", "input_tokens", "output_tokens"]).to_pandas()
    cost = Price(2.5, 10.0).cost_usd(trace["input_tokens"].to_numpy(float), trace["output_tokens"].to_numpy(float))
    minute = (trace["timestamp_s"].to_numpy() // 60).astype(int)
    spent = np.bincount(minute, weights=cost)[:-1]
    held = []
    for origin in range(20, len(spent) - _AHEAD + 1, 3):
        total = draw_days(spent[:origin], _AHEAD, np.random.default_rng(origin), 800).sum(axis=1)
        low, high = np.quantile(total, [0.025, 0.975])
        held.append(low <= spent[origin : origin + _AHEAD].sum() <= high)
    assert np.mean(held) >= 0.8  # about ten origins, of which neighbours share minutes
