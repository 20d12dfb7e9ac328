from dataclasses import replace

import numpy as np
import pytest

from beast_ml.errors import DataError, UnknownModelError
from beast_ml.evaluation.realised import realised_value


@pytest.fixture(scope="module")
def outcomes(make_outcomes):
    return make_outcomes(100, 3)


def test_the_value_is_that_of_the_chosen_cells(outcomes) -> None:
    rng = np.random.default_rng(0)
    columns = rng.integers(3, size=100)
    chosen = [outcomes.models[j] for j in columns]
    value = realised_value(outcomes, chosen, "large", rng)
    assert value.n_queries == 100
    assert value.quality.value == pytest.approx(outcomes.quality[np.arange(100), columns].mean())
    assert value.cost_usd.value == pytest.approx(outcomes.cost_usd[np.arange(100), columns].mean())
    assert value.quality.low < value.quality.value < value.quality.high


def test_the_reference_gains_and_saves_nothing(outcomes) -> None:
    value = realised_value(outcomes, ["large"] * 100, "large", np.random.default_rng(0))
    for estimate in (value.quality_gain, value.saving):
        assert (estimate.value, estimate.low, estimate.high) == (0.0, 0.0, 0.0)


def test_queries_that_are_not_fully_observed_are_left_out(outcomes) -> None:
    quality = outcomes.quality.copy()
    quality[:40, 1] = np.nan
    value = realised_value(replace(outcomes, quality=quality), ["small"] * 100, "large", np.random.default_rng(0))
    assert value.n_queries == 60
    assert value.quality.value == pytest.approx(quality[40:, 2].mean())


@pytest.mark.parametrize(
    ("chosen", "reference", "error", "says"),
    [
        (["large"] * 99, "large", DataError, "99 decisions for 100 queries"),
        (["huge"] * 100, "large", UnknownModelError, "'huge'"),
        (["large"] * 100, "huge", UnknownModelError, "'huge'"),
    ],
)
def test_decisions_that_do_not_fit_are_refused(outcomes, chosen, reference, error, says) -> None:
    with pytest.raises(error, match=says):
        realised_value(outcomes, chosen, reference, np.random.default_rng(0))


def test_without_a_fully_observed_query_nothing_is_compared(outcomes) -> None:
    blind = replace(outcomes, cost_usd=np.full_like(outcomes.cost_usd, np.nan))
    with pytest.raises(DataError, match="nothing can be compared"):
        realised_value(blind, ["large"] * 100, "large", np.random.default_rng(0))
