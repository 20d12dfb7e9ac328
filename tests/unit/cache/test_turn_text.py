"""The text that is compared by meaning holds all that shapes the last question, or is not there at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.cache.turn_text import is_follow_up, turn_text


def turns(*said: str) -> list[dict[str, Any]]:
    return [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(said)]


def test_a_first_question_is_its_own_text() -> None:
    assert turn_text(turns("  What is a router?\n")) == "What is a router?"


@pytest.mark.parametrize(
    "said",
    [
        "And in French?",
        "What about Berlin?",
        "Why?",
        "Make it shorter",
        "Can you explain the second one in more detail?",
        "How does that compare with the one in the basement?",
        "What did he do after the war ended in Europe?",
        "ok, now do the same for the other column",
        "yes",
        "Continue",
        "What else should I know about the topic?",
    ],
)
def test_questions_that_lean_on_what_was_said_are_known(said: str) -> None:
    assert is_follow_up(said)


@pytest.mark.parametrize(
    "said",
    [
        "How do I sort a list in Python by length?",
        "What is the capital of the state of Ohio?",
        "Write a poem about the sea",
    ],
)
def test_questions_that_stand_alone_are_known(said: str) -> None:
    assert not is_follow_up(said)


def test_a_follow_up_is_never_its_last_message_alone() -> None:
    cheese = turn_text(turns("How do you say cheese in Italian?", "Formaggio.", "And in French?"))
    bread = turn_text(turns("How do you say bread in Italian?", "Pane.", "And in French?"))
    assert cheese is not None
    assert cheese != bread
    assert cheese.startswith("And in French?")
    assert "cheese" in cheese


def test_what_may_refer_to_an_answer_comes_with_it() -> None:
    text = turn_text(turns("Name two lakes in Italy.", "Garda and Como.", "How deep is the second one?"))
    assert text is not None
    assert "assistant: Garda and Como." in text


def test_a_question_that_stands_alone_keeps_what_the_user_said_before_but_no_answers() -> None:
    text = turn_text(turns("Answer in French from now on.", "Bien sûr.", "What is the capital of the state of Ohio?"))
    assert text == "What is the capital of the state of Ohio?\n\nuser: Answer in French from now on."


def test_later_turns_stand_before_earlier_ones() -> None:
    text = turn_text(turns("First.", "A.", "Second.", "B.", "And then?"))
    assert text is not None
    told = [text.index(part) for part in ("And then?", "B.", "Second.", "First.")]
    assert told == sorted(told)


def test_system_prompts_are_not_in_it() -> None:
    prompt = [{"role": "system", "content": "secret"}, {"role": "developer", "content": "more"}]
    assert turn_text([*prompt, *turns("What is a router?")]) == "What is a router?"


@pytest.mark.parametrize(
    "messages",
    [
        [],
        turns("What is a router?", "A box."),
        turns("  "),
        [{"role": "system", "content": "Be brief."}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
        [{"role": "user", "content": [{"type": "text", "text": "What is it?", "tone": "dark"}]}],
        [{"role": "user", "content": [{"type": "image_url"}]}, *turns("x", "y", "What is in the picture there?")[1:]],
        turns("What is a router? " * 500),
        turns("A long text. " * 500, "I see.", "What is a router in a network?"),
    ],
)
def test_what_cannot_be_told_whole_is_not_told(messages: list[dict[str, Any]]) -> None:
    assert turn_text(messages) is None


texts = st.text("abc it?", min_size=1, max_size=12).filter(str.strip)


@settings(deadline=None)
@given(st.lists(texts, min_size=1, max_size=7), st.lists(texts, min_size=1, max_size=7))
def test_conversations_in_which_the_user_said_other_things_have_other_texts(one: list[str], other: list[str]) -> None:
    one, other = ([text.strip() for text in (said if len(said) % 2 else said[:-1])] for said in (one, other))
    if one[::2] != other[::2]:
        assert turn_text(turns(*one)) != turn_text(turns(*other))
