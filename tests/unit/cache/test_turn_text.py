"""The text that is compared by meaning and the outline, which is not, together hold all that shapes a question."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.cache.turn_text import outline, turn_text


def turns(*said: str) -> list[dict[str, Any]]:
    return [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(said)]


def test_a_first_question_is_its_own_text() -> None:
    assert turn_text(turns("  What is a router?\n")) == "What is a router?"


def test_a_follow_up_is_never_its_last_message_alone() -> None:
    cheese = turn_text(turns("How do you say cheese in Italian?", "Formaggio.", "And in French?"))
    bread = turn_text(turns("How do you say bread in Italian?", "Pane.", "And in French?"))
    assert cheese is not None
    assert cheese != bread
    assert cheese.startswith("And in French?")
    assert "cheese" in cheese


FOLLOW_UPS = [
    "How many steps does the recipe have?",
    "How many verses does the poem have?",
    "Translate the poem into French for me please",
    "Make the tone of the email formal",
    "How deep is the second one?",
    "Continue",
]


@pytest.mark.parametrize("said", FOLLOW_UPS)
def test_conversations_in_which_others_said_other_things_are_told_apart_by_their_outlines(said: str) -> None:
    """No list of words can tell what goes on from an answer: some of these name nothing that was said."""
    one, other = turns("Write it.", "In 3 parts.", said), turns("Write it.", "In 9 parts.", said)
    assert turn_text(one) == turn_text(other) == f"{said}\n\nuser: Write it."
    assert outline(one) != outline(other)


def test_an_outline_keeps_places_and_all_fields_of_others_and_nothing_of_users() -> None:
    told = turns("a", "b", "c", "d", "e")
    assert outline(told) == outline([{**turn, "content": "?"} if turn["role"] == "user" else turn for turn in told])
    assert outline(told) != outline([told[1], told[0], *told[2:]])
    assert outline(told) != outline([told[0], {**told[1], "refusal": "no"}, *told[2:]])
    assert outline(told) != outline([told[0], {"role": "system", "content": "x"}, *told[1:]])
    assert outline(turns("a", "b")[:1] * 2) != outline(turns("a"))  # one turn may look like two


def test_later_turns_stand_before_earlier_ones() -> None:
    text = turn_text(turns("First.", "A.", "Second.", "B.", "And then?"))
    assert text is not None
    told = [text.index(part) for part in ("And then?", "Second.", "First.")]
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
