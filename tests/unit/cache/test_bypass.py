"""What the cache leaves alone, and what it serves to equals alone."""

from __future__ import annotations

from typing import Any

import pytest

from beast_ml.cache.bypass import DEFAULT_LEVELS, Bypass, BypassReason, BypassRules, Verdict
from beast_ml.cache.entry import CacheKey
from beast_ml.cache.key import KeyMaker, KeyRules
from beast_ml.cache.request import CacheLevel, CacheRequest

SECRET = b"a secret of this deployment"
MAKER = KeyMaker(SECRET)
QUESTION = {"role": "user", "content": "What does a router do in a home network?"}
TOOL = {"type": "function", "function": {"name": "lookup", "parameters": {}}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def chat(*messages: dict[str, Any], **fields: Any) -> CacheRequest:
    return CacheRequest.of_chat("acme", {"model": "m", "messages": list(messages) or [QUESTION], **fields})


def user(content: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **fields}


CASES: list[tuple[str, CacheRequest, BypassReason, CacheLevel]] = [
    ("tools", chat(tools=[TOOL]), BypassReason.TOOLS, CacheLevel.BYPASS),
    ("tools by choice", chat(tools=[TOOL], tool_choice="auto"), BypassReason.TOOLS, CacheLevel.BYPASS),
    ("functions", chat(functions=[{"name": "f"}]), BypassReason.TOOLS, CacheLevel.BYPASS),
    ("web search", chat(web_search_options={}), BypassReason.TOOLS, CacheLevel.BYPASS),
    (
        "tool results",
        chat(QUESTION, {"role": "tool", "tool_call_id": "1", "content": "42"}, QUESTION),
        BypassReason.TOOLS,
        CacheLevel.BYPASS,
    ),
    (
        "tool calls",
        chat(QUESTION, {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}),
        BypassReason.TOOLS,
        CacheLevel.BYPASS,
    ),
    ("temperature", chat(temperature=1.2), BypassReason.TEMPERATURE, CacheLevel.BYPASS),
    ("several answers", chat(n=2), BypassReason.SEVERAL_ANSWERS, CacheLevel.BYPASS),
    ("personal", chat(user("Where is my order?")), BypassReason.PERSONAL, CacheLevel.BYPASS),
    ("time-bound", chat(user("What is the weather in Oslo?")), BypassReason.TIME_BOUND, CacheLevel.BYPASS),
    (
        "personal before",
        chat(user("What's my balance?"), {"role": "assistant", "content": "10."}, user("How do I close a tab?")),
        BypassReason.PERSONAL,
        CacheLevel.BYPASS,
    ),
    (
        "time-bound before",
        chat(user("What's the weather in Oslo?"), {"role": "assistant", "content": "Rain."}, user("And in Rome?")),
        BypassReason.TIME_BOUND,
        CacheLevel.BYPASS,
    ),
    ("other language", chat(user("Wo ist meine Bestellung?")), BypassReason.OTHER_LANGUAGE, CacheLevel.BYPASS),
    ("keyword", chat(user("entropy")), BypassReason.UNSURE_LANGUAGE, CacheLevel.EXACT),
    ("name", chat(user("My name is Ann, what is rice?")), BypassReason.NAMES_A_PERSON, CacheLevel.EXACT),
    (
        "picture",
        chat(user([{"type": "text", "text": "What is in this picture?"}, PICTURE])),
        BypassReason.NOT_TEXT,
        CacheLevel.EXACT,
    ),
    ("speaker", chat(user("What is a router?", name="ann")), BypassReason.NOT_TEXT, CacheLevel.EXACT),
    ("no question", chat(QUESTION, {"role": "assistant", "content": "A"}), BypassReason.NO_QUESTION, CacheLevel.EXACT),
    ("long", chat(user("What is this about? " * 300)), BypassReason.LONG_CONTEXT, CacheLevel.EXACT),
]


@pytest.mark.parametrize(("request_", "reason", "level"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_reason_is_found_and_keeps_the_cache_back(
    request_: CacheRequest, reason: BypassReason, level: CacheLevel
) -> None:
    verdict = MAKER.verdict(request_)
    assert reason in verdict.reasons
    assert verdict.level is level
    made = MAKER.full(request_)
    if level is CacheLevel.BYPASS:
        assert isinstance(made, Bypass)
        assert reason in made.reasons
    else:
        assert isinstance(made, CacheKey)
        assert made.text is None
        assert made.normalised == made.exact


@pytest.mark.parametrize(
    "request_",
    [
        chat(),
        chat(tools=[TOOL], tool_choice="none"),
        chat(tools=[]),
        chat(temperature=1, n=1),
        chat({"role": "system", "content": "Today is Monday. The user's order is late.", "name": "app"}, QUESTION),
        chat({"role": "developer", "content": [PICTURE]}, QUESTION),
        chat(QUESTION, {"role": "assistant", "content": "As of today, my order of things.", "refusal": None}, QUESTION),
        chat(user([{"type": "text", "text": "What is a router?", "cache_control": {"type": "ephemeral"}}])),
    ],
)
def test_plain_requests_go_all_the_way(request_: CacheRequest) -> None:
    assert MAKER.verdict(request_) == Verdict(CacheLevel.FULL)
    made = MAKER.full(request_)
    assert isinstance(made, CacheKey)
    assert made.text


@pytest.mark.parametrize("level", [CacheLevel.BYPASS, CacheLevel.EXACT])
def test_a_caller_can_ask_for_less(level: CacheLevel) -> None:
    verdict = MAKER.verdict(CacheRequest.of_prompt("acme", "What is a router?", level=level))
    assert verdict == Verdict(level, (BypassReason.ASKED,))


def test_a_caller_cannot_ask_for_more() -> None:
    verdict = MAKER.verdict(CacheRequest.of_prompt("acme", "What is the weather?", level=CacheLevel.FULL))
    assert verdict.level is CacheLevel.BYPASS


def test_a_temperature_that_is_not_given_does_not_bypass_whatever_the_bound() -> None:
    cool = KeyMaker(SECRET, KeyRules(bypass=BypassRules(max_temperature=0.5)))
    assert cool.verdict(chat()).level is CacheLevel.FULL
    assert cool.verdict(chat(temperature=0.5)).level is CacheLevel.FULL
    assert cool.exact(chat(temperature=0.6)) == Bypass((BypassReason.TEMPERATURE,))


def test_levels_can_be_set_reason_by_reason_and_the_least_holds() -> None:
    levels = {BypassReason.TIME_BOUND: CacheLevel.EXACT, BypassReason.TOOLS: CacheLevel.EXACT}
    maker = KeyMaker(SECRET, KeyRules(bypass=BypassRules(levels=levels)))
    made = maker.full(chat(user("What is the weather in Oslo?"), tools=[TOOL]))
    assert isinstance(made, CacheKey)
    assert made.text is None
    assert maker.verdict(chat(user("What is the weather near me?"))).level is CacheLevel.BYPASS


def test_every_reason_has_a_level_that_holds_the_cache_back() -> None:
    assert set(DEFAULT_LEVELS) == set(BypassReason)
    assert CacheLevel.FULL not in DEFAULT_LEVELS.values()
