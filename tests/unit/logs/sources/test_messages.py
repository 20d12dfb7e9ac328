from __future__ import annotations

import json
from typing import Any

import pytest

from beast_ml.logs.sources.messages import count_turns, prompt_of

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {}}]},
    {"role": "assistant", "content": None, "tool_calls": []},
    {"role": "user", "content": "And this?"},
]
TEXT = "Be brief.\n\nWhat is this?\n\nAnd this?"


@pytest.mark.parametrize("messages", [CHAT, json.dumps(CHAT), {"messages": CHAT}, json.dumps({"messages": CHAT})])
def test_all_messages_make_the_prompt(messages: Any) -> None:
    assert prompt_of(messages) == TEXT
    assert count_turns(messages) == 2


@pytest.mark.parametrize("prompt", ["Who?", '{"a": 1}', "[1, 2", '["a"]', "{not json}", '{"messages": "x"'])
def test_a_plain_prompt_is_itself_even_when_it_looks_like_json(prompt: str) -> None:
    assert prompt_of(prompt) == prompt


@pytest.mark.parametrize(
    "nothing",
    [None, "", "{}", "[]", {}, [], 3, [{"role": "user", "content": "redacted-by-litellm"}], [{"content": [{}, 3]}]],
)
def test_where_there_is_no_text_there_is_no_prompt(nothing: Any) -> None:
    assert prompt_of(nothing) is None


def test_a_single_message_may_stand_alone() -> None:
    assert prompt_of({"role": "user", "content": "Who?"}) == "Who?"
