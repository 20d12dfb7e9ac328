"""Equal requests have one canonical form, and no two different ones share it."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beast_ml.cache.canonical import canonical, composed, encoded, framed, repeats_a_name, shaping
from beast_ml.cache.request import NOT_SHAPING
from beast_ml.errors import InputError

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def meaning(value: Any) -> Any:
    """Return what must tell JSON values apart, written down another way than the code under test does."""
    if isinstance(value, bool) or value is None:
        return ("literal", value)
    if isinstance(value, float) and abs(value) >= 2**53:
        return ("float", value)  # no longer a whole number but one of many: kept as it was written
    if isinstance(value, int | float):
        return ("number", value)
    if isinstance(value, str):
        return ("text", value)
    if isinstance(value, list):
        return ("list", tuple(map(meaning, value)))
    return ("object", frozenset((name, meaning(item)) for name, item in value.items()))


def shuffled(value: Any, order: random.Random) -> Any:
    if isinstance(value, list):
        return [shuffled(item, order) for item in value]
    if isinstance(value, dict):
        names = list(value)
        order.shuffle(names)
        return {name: shuffled(value[name], order) for name in names}
    return value


@UNHURRIED
@given(JSON, JSON)
def test_two_values_share_their_bytes_exactly_when_they_mean_the_same(one: Any, other: Any) -> None:
    assert (encoded(canonical(one)) == encoded(canonical(other))) == (meaning(one) == meaning(other))


@UNHURRIED
@given(JSON, st.randoms(use_true_random=False))
def test_the_order_of_names_does_not_matter(value: Any, order: random.Random) -> None:
    assert encoded(canonical(shuffled(value, order))) == encoded(canonical(value))


@UNHURRIED
@given(JSON)
def test_the_canonical_form_is_the_same_json_value_and_its_own(value: Any) -> None:
    once = canonical(value)
    assert json.loads(encoded(once)) == once
    assert encoded(canonical(once)) == encoded(once)
    assert meaning(once) == meaning(value)


@UNHURRIED
@given(st.lists(st.binary(max_size=6), max_size=4), st.lists(st.binary(max_size=6), max_size=4))
def test_frames_of_different_parts_differ(parts: list[bytes], others: list[bytes]) -> None:
    assert (framed(*parts) == framed(*others)) == (parts == others)


def test_numbers_are_written_one_way() -> None:
    assert encoded(canonical([1.0, -0.0, 1e3])) == b"[1,0,1000]"
    assert encoded(canonical([0.5, True, 2**70])) == b"[0.5,true,1180591620717411303424]"
    assert encoded(canonical(float(2**60))) != encoded(canonical(2**60 + 1))


def test_letters_are_composed_where_a_value_is_read_and_not_where_it_is_told_from_others() -> None:
    assert canonical({"a": ["cafe\u0301"]}) == {"a": ["cafe\u0301"]}
    assert composed({"a": ["cafe\u0301", 1]}) == {"a": ["caf\u00e9", 1]}
    assert composed("ﬁ ² Ⅷ") == "ﬁ ² Ⅷ"  # compatibility forms are other characters: "x²" is not "x2"


def test_names_that_composition_would_merge_are_both_kept() -> None:
    assert len(composed(canonical({"\u00e9": 1, "e\u0301": 2}))) == 2


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("nan"), "number nan"),
        (float("inf"), "number inf"),
        ({1: "a"}, "name 1"),
        ({"a": {b"x"}}, "a set"),
        (b"bytes", "a bytes"),
    ],
)
def test_what_json_has_not_is_refused_in_one_sentence(value: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        canonical(value)


def test_half_a_character_and_endless_nesting_are_refused() -> None:
    with pytest.raises(InputError, match="surrogate"):
        encoded(canonical("\ud800"))
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InputError, match="nested too deeply"):
        canonical(deep)


def test_parameters_that_say_what_holds_anyway_are_left_out() -> None:
    said = {"temperature": 1.0, "top_p": 1, "n": 1, "seed": None, "stop": None, "logit_bias": {}, "logprobs": False}
    assert shaping(said) == {}
    assert shaping({"temperature": 0}) == {"temperature": 0}


def test_what_is_not_known_is_kept_whatever_it_is() -> None:
    assert shaping({"new": None, "other": False, "third": 1.0}) == {"new": None, "other": False, "third": 1}


def test_true_is_not_one() -> None:
    assert shaping({"temperature": True, "logprobs": 0}) == {"temperature": True, "logprobs": 0}


def test_delivery_and_filing_are_left_out() -> None:
    assert shaping(dict.fromkeys(NOT_SHAPING, "anything")) == {}


@UNHURRIED
@given(JSON)
def test_what_is_encoded_here_repeats_no_name(value: Any) -> None:
    assert not repeats_a_name(encoded(canonical(value)))


@pytest.mark.parametrize("body", [b'{"a": 1, "a": 1}', b'[{"b": {"a": 1, "c": 2, "a": 3}}]', b'{"a": 1, "\\u0061": 2}'])
def test_a_name_that_two_decoders_may_read_otherwise_is_found(body: bytes) -> None:
    assert repeats_a_name(body)
