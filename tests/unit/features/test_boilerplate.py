import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.features.boilerplate import find_boilerplate, strip_boilerplate

LINES = st.sampled_from(["Answer briefly.", "Q:", "A", "", "  ", "What is 2 + 2?", "\ud800", "答え"])
COMMON = "You are a careful assistant."


def prompts(n, share, line=COMMON):
    return [f"{line}\nquestion {i}" if i < share * n else f"question {i}" for i in range(n)]


def test_lines_of_many_prompts_are_found_and_taken_out():
    found = find_boilerplate(prompts(100, 0.5))
    assert len(found) == 1
    assert strip_boilerplate(f"  {COMMON}\nWhy?", found) == ("Why?", 0.5)
    assert strip_boilerplate("Why?", found) == ("Why?", 0.0)


@pytest.mark.parametrize(
    ("n", "share", "expected"),
    [(100, 0.19, 0), (100, 0.2, 1), (10_000, 0.0199, 0), (10_000, 0.02, 1)],
    ids=["19 of 100", "20 of 100", "1.99%", "2%"],
)
def test_boilerplate_is_in_twenty_prompts_and_in_two_percent(n, share, expected):
    assert len(find_boilerplate(prompts(n, share))) == expected


def test_a_line_counts_once_a_prompt():
    assert find_boilerplate([f"{COMMON}\n{COMMON}\n{i}" for i in range(19)]) == frozenset()


def test_single_characters_are_left_alone():
    assert find_boilerplate([f"A\n{{\n{i}" for i in range(50)]) == frozenset()


def test_digests_not_lines_are_kept():
    (digest,) = find_boilerplate(prompts(50, 1.0))
    assert re.fullmatch("[0-9a-f]{16}", digest)


def test_the_most_frequent_lines_are_kept_when_there_are_too_many():
    many = "\n".join(f"line {i}" for i in range(4100))
    kept = find_boilerplate([many] * 25 + ["line 4099"])
    assert len(kept) == 4000
    assert strip_boilerplate("line 4099\nrest", kept) == ("rest", 0.5)


@given(st.lists(LINES, max_size=6).map("\n".join))
def test_no_prompt_is_ever_emptied(prompt):
    found = find_boilerplate(["Answer briefly.\nQ:\nWhat is 2 + 2?\n\ud800\n答え"] * 20)
    text, share = strip_boilerplate(prompt, found)
    assert bool(text.strip()) == bool(prompt.strip())
    assert 0.0 <= share <= 1.0
    assert share == 0.0 or prompt.strip()
    if share == 0.0:
        assert text == prompt


def test_a_prompt_that_is_all_boilerplate_is_kept_whole():
    found = find_boilerplate(prompts(50, 1.0))
    assert strip_boilerplate(COMMON, found) == (COMMON, 1.0)


def test_a_huge_prompt_is_scanned_at_its_ends():
    found = find_boilerplate(prompts(50, 1.0))
    text, share = strip_boilerplate(f"{COMMON}\n{'x' * 200_000}\n{COMMON}", found)
    assert COMMON not in text
    assert 0 < share < 1
