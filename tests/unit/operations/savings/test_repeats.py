"""Which requests a cache would have answered."""

import numpy as np

from beast_ml.operations.savings.repeats import repeats_of


def sources(tenants, prompts, hours, answered=None, life_h=24.0):
    ok = np.ones(len(prompts), dtype=bool) if answered is None else np.array(answered)
    return repeats_of(tenants, prompts, np.array(hours) * 3600.0, ok, life_h * 3600.0).tolist()


def test_a_repeat_of_the_same_tenant_within_a_life_gets_the_answer() -> None:
    asked = ["What is the capital of France?"] * 4
    assert sources(["a", "a", "b", "a"], asked, [0, 1, 1, 30]) == [-1, 0, -1, -1]


def test_a_greeting_makes_no_other_question_and_time_goes_before_place() -> None:
    asked = ["Hello, what is the capital of France?", "What is the capital of France?"]
    assert sources(["a", "a"], asked, [1, 0]) == [1, -1]


def test_what_was_not_answered_is_not_kept() -> None:
    asked = ["What is the capital of France?"] * 3
    assert sources(["a"] * 3, asked, [0, 1, 2], answered=[False, True, True]) == [-1, -1, 1]
