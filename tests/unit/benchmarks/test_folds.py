from dataclasses import replace

import numpy as np
import pytest

from beast_ml.benchmarks.folds import split
from beast_ml.errors import NotEnoughDataError
from beast_ml.logs.splits import GROUPS, query_fold


@pytest.mark.parametrize("groups", GROUPS)
def test_every_query_is_tested_once_and_never_trained_on_meanwhile(outcomes, groups):
    pairs = list(split(outcomes, groups, 3, 0))
    assert np.array_equal(sum(test.astype(int) for _, test in pairs), np.ones(outcomes.n_queries))
    assert not any((train & test).any() for train, test in pairs)


def test_no_task_is_on_both_sides(outcomes):
    for train, test in split(outcomes, "task", 2, 1):
        assert not set(outcomes.tasks[train]) & set(outcomes.tasks[test])


def test_a_question_asked_by_two_tasks_is_left_out_of_training(outcomes):
    prompts = list(outcomes.prompts)
    other = int(np.flatnonzero(outcomes.tasks != outcomes.tasks[0])[0])
    prompts[other] = f" {prompts[0].upper()} "
    twice = replace(outcomes, prompts=tuple(prompts))
    for train, test in split(twice, "task", len(set(outcomes.tasks)), 0):
        assert not (test[0] and train[other])
        assert not (test[other] and train[0])


def test_seeds_draw_other_folds(outcomes):
    first, second = (next(iter(split(outcomes, "question", 3, seed)))[1] for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_training_folds_keep_all_folds_that_a_learner_with_the_same_seed_will_cut(outcomes):
    train, _ = next(iter(split(outcomes, "question", 5, 0)))
    inner = query_fold(outcomes.rows(train).prompts, 5, 0)
    assert len(np.unique(inner)) == 5


def test_more_folds_than_tasks_are_refused(outcomes):
    with pytest.raises(NotEnoughDataError, match="4 tasks cannot fill 9 folds"):
        next(iter(split(outcomes, "task", 9, 0)))
