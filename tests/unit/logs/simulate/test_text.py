import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.logs.simulate.text import N_PARAPHRASES, paraphrase

CODE = "def add(a, b):\n    return {a: b}  # it is what is left"


@given(st.text(max_size=200), st.integers(0, 20))
def test_a_paraphrase_is_another_text_and_always_the_same_one(text: str, variant: int) -> None:
    changed = paraphrase(text, variant)
    assert changed != text
    assert changed == paraphrase(text, variant)
    assert changed == paraphrase(text, variant + N_PARAPHRASES)


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        (0, "Hi! What is the height of it?"),
        (1, "Please help me with this: What is the height of it?"),
        (2, "What is the height of it?\nThank you!"),
        (3, "what is the height of it?"),
        (4, "What's the height of it?"),
        (5, "What is the height of it??"),
        (6, " What is the height of it?\n"),
    ],
)
def test_each_form_changes_the_surface_only(variant: int, expected: str) -> None:
    assert paraphrase("What is the height of it?", variant) == expected


@given(st.integers(0, N_PARAPHRASES - 1))
def test_code_keeps_its_case_and_its_words(variant: int) -> None:
    assert CODE in paraphrase(CODE, variant)


def test_chinese_gets_no_english_courtesy() -> None:
    text = "为什么天空是蓝色的"
    assert {paraphrase(text, variant) for variant in range(N_PARAPHRASES)} == {f" {text}\n"}


@pytest.mark.parametrize(
    ("text", "variant", "expected"),
    [
        ("NASA launched.", 3, "NASA launched"),  # an acronym keeps its capital: the next form that applies
        ("i am here", 4, "I'm here"),
        ("Do not stop", 4, "Don't stop"),
        ("Wait...", 5, " Wait...\n"),
    ],
)
def test_a_form_that_does_not_apply_gives_way_to_the_next(text: str, variant: int, expected: str) -> None:
    assert paraphrase(text, variant) == expected


def test_a_text_without_letters_gets_blanks() -> None:
    assert paraphrase("2 + 2", 0) == " 2 + 2\n"
