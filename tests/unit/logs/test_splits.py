from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.errors import InputError, NotEnoughDataError
from beast_ml.logs.splits import holdout_mask, normalise_question, query_fold, question_numbers, task_fold

PROMPTS = [f"question number {i}" for i in range(4000)]


@given(st.text(), st.integers(2, 20), st.integers(0, 1000))
def test_case_and_whitespace_do_not_move_a_question(text: str, n_folds: int, seed: int) -> None:
    variants = [text, f"  {text}\n", " \t ".join(["", *text.split(" "), ""])]
    assert len(set(query_fold(variants, n_folds, seed).tolist())) == 1
    assert len(set(holdout_mask(variants, 0.5, seed).tolist())) == 1


@given(st.lists(st.text(), min_size=1), st.integers(2, 20), st.integers(0, 1000))
def test_a_fold_depends_on_its_own_prompt_alone(prompts: list[str], n_folds: int, seed: int) -> None:
    folds = query_fold(prompts, n_folds, seed)
    assert folds.min() >= 0
    assert folds.max() < n_folds
    assert query_fold(prompts[::-1], n_folds, seed).tolist() == folds[::-1].tolist()
    assert query_fold(prompts[:1], n_folds, seed)[0] == folds[0]


def test_folds_are_the_same_on_every_machine() -> None:
    assert query_fold(["What is 2 + 2?", "二加二等于几?", "x"], 1000, 0).tolist() == [243, 33, 312]


def test_composed_and_decomposed_characters_are_one_question() -> None:
    assert normalise_question("caf\u00e9") == normalise_question("cafe\u0301")


def test_lone_surrogates_do_not_break_the_split() -> None:
    assert query_fold(["\ud800"], 3, 0).shape == (1,)


def test_folds_are_about_equal_and_change_with_the_seed() -> None:
    first, second = query_fold(PROMPTS, 5, 0), query_fold(PROMPTS, 5, 1)
    assert np.abs(np.bincount(first, minlength=5) - 800).max() < 120  # 4.7 standard deviations
    assert 0.15 < (first == second).mean() < 0.25


def test_holdout_takes_about_its_fraction_and_grows_with_it() -> None:
    small, large = holdout_mask(PROMPTS, 0.2, 0), holdout_mask(PROMPTS, 0.3, 0)
    assert abs(small.mean() - 0.2) < 0.03
    assert (large | ~small).all()


def test_holdout_is_independent_of_the_folds() -> None:
    held_out = holdout_mask(PROMPTS, 0.2, 0)
    shares = np.array([held_out[query_fold(PROMPTS, 5, 0) == fold].mean() for fold in range(5)])
    assert np.abs(shares - 0.2).max() < 0.07


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, float("nan")])
def test_a_fraction_outside_0_to_1_is_refused(fraction: float) -> None:
    with pytest.raises(InputError, match="`fraction` == "):
        holdout_mask(["a"], fraction, 0)


def test_a_single_fold_is_refused() -> None:
    with pytest.raises(InputError, match="`n_folds` == 1, must be >= 2"):
        query_fold(["a"], 1, 0)


@given(st.lists(st.sampled_from("abcdefgh"), min_size=40, max_size=80), st.integers(0, 100))
def test_folds_of_tasks_keep_tasks_whole_and_none_is_empty(tasks, seed):
    tasks = np.array([*"abcdefgh", *tasks])
    folds = task_fold(tasks, 4, seed)
    assert set(folds) == {0, 1, 2, 3}
    for task in set(tasks.tolist()):
        assert len(set(folds[tasks == task])) == 1
    np.testing.assert_array_equal(folds, task_fold(tasks, 4, seed))


def test_more_folds_than_tasks_are_refused():
    with pytest.raises(NotEnoughDataError, match="2 tasks cannot fill 5 folds: use at most 2"):
        task_fold(np.array(["a", "b", "a"]), 5, 0)


def test_equal_questions_share_a_number():
    assert question_numbers(["What?", "why?", " what? ", "Who?"]).tolist() == [0, 1, 0, 2]
