from dataclasses import replace

import numpy as np
import pytest

from beast_ml.errors import DataError, NotEnoughDataError, UnknownModelError
from beast_ml.evaluation.pool import choose_pool, outcomes_of_pool, scored_queries, why_nothing_is_scored


@pytest.fixture
def train(make_outcomes):
    return make_outcomes(60)


def without(matrix, name, model=None):
    values = getattr(matrix, name).copy()
    values[:, slice(None) if model is None else matrix.models.index(model)] = np.nan
    return replace(matrix, **{name: values})


def test_all_models_compete_on_dollars_by_default(train):
    pool = choose_pool(train)
    assert (pool.models, pool.cost, pool.left_out) == (("large", "medium", "small"), "cost_usd", {})


def test_without_dollars_seconds_are_the_cost_and_without_both_nothing_is(train):
    seconds = replace(without(train, "cost_usd"), latency_s=np.ones((60, 3)))
    assert choose_pool(seconds).cost == "latency_s"
    assert choose_pool(without(train, "cost_usd")).cost == "none"


def test_the_cost_that_is_asked_for_wins(train):
    assert choose_pool(train, cost="none").cost == "none"


@pytest.mark.parametrize("column", ["quality", "cost_usd"])
def test_a_model_that_cannot_be_compared_is_left_out_with_the_reason(train, column):
    pool = choose_pool(without(train, column, "small"))
    assert pool.models == ("large", "medium")
    assert pool.left_out == {"small": f"no {column} in the training data"}


def test_a_named_model_that_cannot_be_compared_is_an_error(train):
    with pytest.raises(DataError, match="'small' of the pool has no cost_usd"):
        choose_pool(without(train, "cost_usd", "small"), ["large", "small"])


def test_a_cost_that_no_model_has_is_an_error(train):
    with pytest.raises(DataError, match="no model of the training data has any latency_s"):
        choose_pool(train, cost="latency_s")


def test_of_a_model_of_the_pool_that_the_test_data_lack_nothing_is_observed(train):
    spread = outcomes_of_pool(train.pool(["medium", "small"]), train.models)
    assert spread.models == train.models
    assert np.isnan(spread.quality[:, 0]).all()
    assert (spread.cost_usd[:, 1:] == train.cost_usd[:, 1:]).all()
    assert not scored_queries(spread, "none").any()
    assert why_nothing_is_scored(spread, "none").startswith("the test data have no usable quality of 'large': name a")


def test_a_named_model_that_the_training_data_lack_is_an_error(train):
    with pytest.raises(UnknownModelError, match="no outcome of model 'huge'"):
        choose_pool(train, ["huge", "small"])


@pytest.mark.parametrize(("names", "left"), [(["small"], "only 'small'"), ([], "no model")])
def test_one_model_leaves_nothing_to_choose(train, names, left):
    with pytest.raises(NotEnoughDataError, match=f"the pool holds {left}"):
        choose_pool(train, names)


def test_a_query_is_scored_when_every_model_is_observed(train):
    quality, cost = train.quality.copy(), train.cost_usd.copy()
    quality[3, 0], cost[5, 2] = np.nan, np.nan
    holes = replace(train, quality=quality, cost_usd=cost)
    assert np.flatnonzero(~scored_queries(holes, "cost_usd")).tolist() == [3, 5]
    assert np.flatnonzero(~scored_queries(holes, "none")).tolist() == [3]


def test_where_no_query_can_be_scored_a_pool_with_some_is_offered(train):
    why = why_nothing_is_scored(without(train, "quality", "medium"), "cost_usd")
    assert "no usable quality and cost_usd of 'medium'" in why
    assert "these 2 models share 60 queries: large,small" in why


def test_models_that_share_no_query_at_all_leave_no_pool_to_offer(train):
    apart = train.quality.copy()
    apart[np.arange(60)[:, None] % 3 != np.arange(3)] = np.nan
    why = why_nothing_is_scored(replace(train, quality=apart), "cost_usd")
    assert why.startswith("none of the 60 test queries has quality and cost_usd of all 3 models")
    assert "no two models were observed on the same query" in why


def test_without_any_label_no_pool_is_offered(train):
    why = why_nothing_is_scored(without(train, "quality"), "none")
    assert why == "the test data have no usable quality of any model of the pool"
