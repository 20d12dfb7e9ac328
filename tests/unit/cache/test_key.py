"""Keys: what shapes an answer changes them, what does not leaves them alone, and no tenant meets another."""

from __future__ import annotations

import copy
import unicodedata
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.cache.bypass import Bypass, BypassReason, BypassRules
from beast_ml.cache.entry import CacheKey
from beast_ml.cache.key import REQUEST_ID_LINE, TIMESTAMP_LINE, ExactKey, KeyMaker, KeyRules
from beast_ml.cache.request import CacheLevel, CacheRequest
from beast_ml.errors import InputError

SECRET = b"a secret of this deployment"
MAKER = KeyMaker(SECRET)
BODY: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": "You answer questions about routers."},
        {"role": "user", "content": "What does a router do in a home network?"},
    ],
    "temperature": 0.2,
    "max_tokens": 300,
}
REQUEST = CacheRequest.of_chat("acme", BODY)


def keys(request: CacheRequest, maker: KeyMaker = MAKER) -> CacheKey:
    made = maker.full(request)
    assert isinstance(made, CacheKey), made
    return made


def exact(request: CacheRequest, maker: KeyMaker = MAKER) -> ExactKey:
    made = maker.exact(request)
    assert isinstance(made, ExactKey), made
    return made


def chat(**changes: Any) -> CacheRequest:
    return CacheRequest.of_chat("acme", {**BODY, **changes})


def asked(text: str, **others: Any) -> CacheRequest:
    return CacheRequest.of_prompt("acme", text, **others)


def test_full_agrees_with_exact_and_can_be_spared_making_it_again() -> None:
    first = exact(REQUEST)
    assert keys(REQUEST).exact == first.exact
    assert MAKER.full(REQUEST, first) == keys(REQUEST)
    assert len({first.partition, first.exact, keys(REQUEST).normalised}) == 3


SHAPING: dict[str, CacheRequest] = {
    "model": chat(model="gpt-4o-mini"),
    "policy": CacheRequest.of_chat("acme", BODY, policy={"model": "gpt-4o", "min_quality": 0.8}),
    "temperature": chat(temperature=0.3),
    "top_p": chat(top_p=0.5),
    "max_tokens": chat(max_tokens=301),
    "max_completion_tokens": chat(max_completion_tokens=300),
    "seed": chat(seed=7),
    "stop": chat(stop=["\n"]),
    "penalty": chat(presence_penalty=0.1),
    "logit_bias": chat(logit_bias={"50256": -100}),
    "reasoning_effort": chat(reasoning_effort="high"),
    "unknown field": chat(brand_new="x"),
    "unknown null": chat(brand_new=None),
    "response_format": chat(response_format={"type": "json_object"}),
    "tools": chat(tools=[{"type": "function", "function": {"name": "f"}}], tool_choice="none"),
    "system": chat(messages=[{"role": "system", "content": "Be brief."}, BODY["messages"][1]]),
    "developer": chat(messages=[{**BODY["messages"][0], "role": "developer"}, BODY["messages"][1]]),
    "no system": chat(messages=BODY["messages"][1:]),
    "tenant": CacheRequest.of_chat("acme2", BODY),
    "context": CacheRequest.of_chat("acme", BODY, context={"locale": "de-CH"}),
    "documents": CacheRequest.of_chat("acme", BODY, documents=("a", "b")),
    "documents' order": CacheRequest.of_chat("acme", BODY, documents=("b", "a")),
}
SAID: dict[str, CacheRequest] = {
    "text": chat(messages=[BODY["messages"][0], {"role": "user", "content": "What does a switch do in a network?"}]),
    "speaker": chat(messages=[BODY["messages"][0], {**BODY["messages"][1], "name": "ann"}]),
    "field of a turn": chat(messages=[BODY["messages"][0], {**BODY["messages"][1], "weight": 1}]),
    "earlier turn": chat(messages=[*BODY["messages"][:1], {"role": "user", "content": "Hi."}, BODY["messages"][1]]),
    "later system turn": chat(messages=[*BODY["messages"][::-1]]),
}


@pytest.mark.parametrize("name", [*SHAPING, *SAID])
def test_all_that_shapes_the_answer_changes_the_exact_and_the_normalised_key(name: str) -> None:
    changed = {**SHAPING, **SAID}[name]
    assert exact(changed).exact != exact(REQUEST).exact
    assert keys(changed).normalised != keys(REQUEST).normalised


def test_partitions_differ_by_all_but_the_conversation() -> None:
    partitions = {exact(request).partition for request in [REQUEST, *SHAPING.values()]}
    assert len(partitions) == 1 + len(SHAPING)
    told_apart_by_words = [exact(SAID[name]).partition for name in ("text", "earlier turn")]
    assert told_apart_by_words == [exact(REQUEST).partition] * 2


@pytest.mark.parametrize(
    "changes",
    [
        {"stream": True, "stream_options": {"include_usage": True}},
        {"user": "bob", "metadata": {"trace": "1"}, "store": True, "safety_identifier": "x"},
        {"service_tier": "flex", "prompt_cache_key": "k"},
        {"n": 1, "top_p": 1.0, "presence_penalty": 0, "seed": None, "response_format": {"type": "text"}, "tools": []},
        {"max_tokens": 300.0},
        {"beast": {"session_id": "s"}},
    ],
)
def test_what_does_not_shape_the_answer_changes_nothing(changes: dict[str, Any]) -> None:
    assert keys(chat(**changes)) == keys(REQUEST)


def test_the_order_of_names_changes_nothing() -> None:
    other = CacheRequest.of_chat("acme", dict(reversed(BODY.items())))
    assert keys(other) == keys(REQUEST)


def test_how_letters_are_composed_is_in_the_exact_key_and_in_the_normalised_one_where_form_is_asked_about() -> None:
    one, other = (keys(asked(f"what is a {name}")) for name in ("caf\u00e9", "cafe\u0301"))
    assert (one.exact != other.exact, one.normalised, one.text) == (True, other.normalised, other.text)
    one, other = (keys(asked(f"How many bytes has the text {name} in UTF-8?")) for name in ("caf\u00e9", "cafe\u0301"))
    assert one.exact != other.exact
    assert one.normalised != other.normalised


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_text_is_read_alike_however_its_letters_are_composed(form: str) -> None:
    said = unicodedata.normalize(form, "O\u00f9 est ma commande, s'il vous pla\u00eet ? \u00c7a prend des mois.")
    assert MAKER.verdict(asked(said)) == MAKER.verdict(asked(unicodedata.normalize("NFC", said)))


def test_a_plain_prompt_is_a_chat_of_one_turn() -> None:
    told = {"model": "m", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "what is it"}]}
    plain = CacheRequest.of_prompt("acme", "what is it", system="s", policy={"model": "m"})
    assert keys(plain) == keys(CacheRequest.of_chat("acme", told))


def test_a_list_of_one_text_is_that_text_to_the_normalised_key_alone() -> None:
    one, parts = chat(), copy.deepcopy(BODY)
    parts["messages"][1]["content"] = [{"type": "text", "text": BODY["messages"][1]["content"]}]
    other = CacheRequest.of_chat("acme", parts)
    assert keys(other).normalised == keys(one).normalised
    assert keys(other).exact != keys(one).exact


names = st.sampled_from(["a", "b", "ab", "", "a\x00", '"', "a,b"])
requests = st.builds(
    lambda tenant, system, said, stop, locale, documents, user: CacheRequest(
        tenant_id=tenant,
        messages=[{"role": role, "content": text} for role, text in [("system", system), *said]],
        parameters={} if stop is None else {"stop": stop},
        context={} if locale is None else {"locale": locale},
        documents=tuple(documents),
        user_id=user,
    ),
    names,
    names,
    st.lists(st.tuples(st.sampled_from(["user", "assistant", "system"]), names), max_size=3),
    st.none() | names | st.lists(names, max_size=2),
    st.none() | names,
    st.lists(names, max_size=2),
    st.none() | names,
)


@settings(deadline=None)
@given(requests, requests)
def test_no_two_different_requests_share_an_exact_key(one: CacheRequest, other: CacheRequest) -> None:
    maker = KeyMaker(SECRET, KeyRules(per_user=True))
    assert (exact(one, maker).exact == exact(other, maker).exact) == (one == other)


@settings(deadline=None)
@given(requests, requests)
def test_no_two_tenants_share_a_partition_or_a_key(one: CacheRequest, other: CacheRequest) -> None:
    if one.tenant_id == other.tenant_id:
        other = msgspec.structs.replace(other, tenant_id=other.tenant_id + "'")
    mine, theirs = exact(one), exact(other)
    assert not {mine.partition, mine.exact} & {theirs.partition, theirs.exact}


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_texts_are_judged_alike_however_composed_and_have_other_exact_keys(text: str) -> None:
    one, other = (asked(unicodedata.normalize(form, text)) for form in ("NFC", "NFD"))
    assert MAKER.verdict(one) == MAKER.verdict(other)
    assert (exact(one) == exact(other)) == (one == other)


def test_keys_depend_on_the_secret_and_show_no_prompt() -> None:
    other = KeyMaker(b"the secret of another deployment")
    assert keys(REQUEST).exact != keys(REQUEST, other).exact
    assert keys(REQUEST).partition != keys(REQUEST, other).partition
    long = KeyMaker(SECRET * 10)  # longer than a hash takes: all of it counts
    assert keys(REQUEST, long).exact != keys(REQUEST, KeyMaker((SECRET * 10)[:-1])).exact
    with pytest.raises(InputError, match="at least 16"):
        KeyMaker(b"short")


def test_keys_are_the_same_in_every_process_and_release() -> None:
    made = keys(REQUEST, KeyMaker(bytes(32)))
    assert made.exact.hex() == "dcbae009631e9e53f25edd0cf084277e", (
        "raise _FORMAT with any change of what keys are made from"
    )


def test_stricter_rules_do_not_find_what_laxer_ones_kept() -> None:
    lax = KeyMaker(SECRET, KeyRules(bypass=BypassRules(levels={BypassReason.TIME_BOUND: CacheLevel.FULL})))
    assert keys(REQUEST, lax).exact != keys(REQUEST).exact


def test_the_text_holds_neither_tenant_nor_system_prompt() -> None:
    assert keys(REQUEST).text == "What does a router do in a home network?"


def test_where_only_equals_may_hit_there_is_no_text_and_no_looser_key() -> None:
    made = keys(CacheRequest.of_chat("acme", BODY, level=CacheLevel.EXACT))
    assert made.text is None
    assert made.normalised == made.exact == keys(REQUEST).exact


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is a router?", "Hi! Please, what is a  router?? Thanks!"),
        ("How do I boil eggs?", "how do i boil eggs"),
    ],
)
def test_wordings_that_do_not_matter_share_the_normalised_key(one: str, other: str) -> None:
    assert keys(asked(one)).normalised == keys(asked(other)).normalised
    assert keys(asked(one)).exact != keys(asked(other)).exact


def test_earlier_turns_count_in_the_normalised_key() -> None:
    def turns(first: str) -> CacheRequest:
        told = [("user", first), ("assistant", "Well."), ("user", "And how do I undo it?")]
        return CacheRequest(tenant_id="acme", messages=[{"role": r, "content": c} for r, c in told])

    assert keys(turns("How do I commit?")).normalised == keys(turns("how do I commit")).normalised
    assert keys(turns("How do I commit?")).normalised != keys(turns("How do I merge?")).normalised


def test_what_was_heard_is_in_the_key_of_a_conversation_and_only_there() -> None:
    def heard(*answers: str, tenant: str = "acme", maker: KeyMaker = MAKER) -> bytes:
        told = [("user", "How do I bake bread?"), *(("assistant", answer) for answer in answers)]
        told += [("user", "How many steps does the recipe have?")] * bool(answers)
        messages = [{"role": role, "content": text} for role, text in told]
        made = keys(CacheRequest(tenant_id=tenant, messages=messages), maker)
        assert made.text is not None
        return made.heard

    assert heard() == keys(REQUEST).heard == b""
    assert heard("In 3 steps.") == heard("In 3 steps.") != heard("In 9 steps.")
    assert heard("In 3 steps.") != heard("In 3", "steps.")
    assert heard("In 3 steps.") != heard("In 3 steps.", tenant="globex")
    assert heard("In 3 steps.") != heard("In 3 steps.", maker=KeyMaker(b"the secret of another deployment"))


def test_users_share_a_tenants_partition_unless_it_says_otherwise() -> None:
    ann, bob = (CacheRequest.of_chat("acme", BODY, user_id=user) for user in ("ann", "bob"))
    assert keys(ann) == keys(bob)
    apart = KeyMaker(SECRET, KeyRules(per_user=True))
    assert keys(ann, apart).partition != keys(bob, apart).partition


def test_personal_answers_are_never_kept_where_users_share_partitions() -> None:
    kept = BypassRules(levels={BypassReason.PERSONAL: CacheLevel.EXACT})
    with pytest.raises(InputError, match="per_user"):
        KeyMaker(SECRET, KeyRules(bypass=kept))
    apart = KeyMaker(SECRET, KeyRules(bypass=kept, per_user=True))
    ann, bob = (keys(asked("Where is my order?", user_id=user), apart) for user in ("ann", "bob"))
    assert ann.exact != bob.exact
    assert ann.text is None


STAMPED = "You are a helper.\nRequest-ID: {id}\nCurrent time: {time}\nBe brief."


def stamped(request_id: str, time: str) -> CacheRequest:
    return asked("What is a router?", system=STAMPED.format(id=request_id, time=time))


def test_declared_volatile_lines_do_not_keep_requests_apart() -> None:
    one = stamped("0c1f6a52-8d52-4d0a-9b51-000000000001", "2026-11-29T09:41:00Z")
    other = stamped("0c1f6a52-8d52-4d0a-9b51-000000000002", "2026-11-29T09:41:07Z")
    assert keys(one).partition != keys(other).partition  # nothing is volatile by itself
    maker = KeyMaker(SECRET, KeyRules(volatile=(REQUEST_ID_LINE, TIMESTAMP_LINE)))
    assert keys(one, maker).partition == keys(other, maker).partition
    assert keys(one, maker).normalised == keys(other, maker).normalised
    assert keys(one, maker).exact != keys(other, maker).exact


@pytest.mark.parametrize(
    "line", ["Order-ID: 12345678", "Customer id: 12345678", "Request-ID is secret", "Delivery time: 2026-11-29 09:41"]
)
def test_lines_that_say_something_are_not_volatile(line: str) -> None:
    maker = KeyMaker(SECRET, KeyRules(volatile=(REQUEST_ID_LINE, TIMESTAMP_LINE)))
    told, untold = asked("What is a router?", system=f"Help.\n{line}"), asked("What is a router?", system="Help.\n")
    assert keys(told, maker).partition != keys(untold, maker).partition


@pytest.mark.parametrize(("pattern", "said"), [("(", "is none"), ("x*", "empty text")])
def test_patterns_that_cannot_be_meant_are_refused(pattern: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        KeyMaker(SECRET, KeyRules(volatile=(pattern,)))


@pytest.mark.parametrize("body", [{}, {"messages": []}, {"messages": "hello"}, {"messages": ["hello"]}])
def test_a_chat_without_messages_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="at least one message"):
        CacheRequest.of_chat("acme", body)


def test_a_bypass_is_told_with_its_reasons() -> None:
    assert MAKER.exact(chat(temperature=1.5, n=3)) == Bypass((BypassReason.TEMPERATURE, BypassReason.SEVERAL_ANSWERS))
    assert MAKER.full(chat(n=3)) == Bypass((BypassReason.SEVERAL_ANSWERS,))
    assert MAKER.full(asked("What is my balance today?")) == Bypass((BypassReason.PERSONAL, BypassReason.TIME_BOUND))
