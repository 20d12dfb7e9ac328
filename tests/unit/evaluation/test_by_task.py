from dataclasses import replace

import numpy as np
import pytest

from beast_ml.evaluation.by_task import judge_by_task
from beast_ml.evaluation.routing import RoutingConfig, evaluate_routing


@pytest.fixture(scope="module")
def test_set(make_outcomes):
    return make_outcomes(240, 1, prefix="t")


@pytest.fixture(scope="module")
def evaluation(make_outcomes, test_set, learner, encoder):
    config = RoutingConfig(n_resamples=100)
    return evaluate_routing(make_outcomes(300, 0), test_set, learner, encoder, config)


@pytest.fixture(scope="module")
def results(evaluation, test_set):
    return judge_by_task(evaluation, test_set, np.random.default_rng(0))


def test_every_task_is_judged_the_most_frequent_first(results, test_set) -> None:
    assert {result.task for result in results} == set(test_set.tasks.tolist())
    sizes = [result.n_queries for result in results]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == test_set.n_queries
    for result in results:
        assert sum(result.shares.values()) == pytest.approx(1.0)


def test_the_parts_add_up_to_the_whole(results, evaluation) -> None:
    whole = evaluation.scores["beast"].operating["quality_gain"].value
    parts = sum(result.n_queries * result.quality_gain.value for result in results)
    assert parts / sum(result.n_queries for result in results) == pytest.approx(whole, abs=1e-12)


def test_it_saves_where_the_small_model_is_best_and_knows_which_that_is(results) -> None:
    by_name = {result.task: result for result in results}
    assert by_name["chat"].best_model == "small"
    assert by_name["chat"].saving.value > by_name["maths"].saving.value
    assert by_name["chat"].calibration.per_model.keys() == {"large", "medium", "small"}
    for result in results:
        assert result.quality_gain.low <= result.quality_gain.value <= result.quality_gain.high


def test_small_tasks_are_left_out(evaluation, test_set) -> None:
    largest = max(int((test_set.tasks == task).sum()) for task in np.unique(test_set.tasks))
    only = judge_by_task(evaluation, test_set, np.random.default_rng(0), min_queries=largest)
    assert {result.n_queries for result in only} == {largest}


def test_where_nothing_was_scored_no_task_is_judged(evaluation, test_set) -> None:
    unscored = replace(evaluation, board=None, scores={}, scored=np.zeros(test_set.n_queries, dtype=bool))
    assert judge_by_task(unscored, test_set, np.random.default_rng(0)) == ()
