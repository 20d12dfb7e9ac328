import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.errors import InputError
from beast_ml.serving.json_limits import MAX_VALUES, check_depth, check_values


def depth_of(value):
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 0


def values_of(value):
    if isinstance(value, list):
        return max(1, sum(map(values_of, value)))
    if isinstance(value, dict):
        return max(1, sum(map(values_of, value.values())))
    return 1


def refused(body, max_depth):
    try:
        check_depth(body, max_depth)
    except InputError:
        return True
    return False


nested = st.recursive(
    st.none() | st.integers() | st.text(alphabet='[]{}"\\,: aé\n', max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='[{"\\a', max_size=4), inner),
    max_leaves=30,
)


@given(nested, st.integers(0, 6), st.booleans())
def test_depth_is_that_of_the_decoded_value(value, max_depth, as_ascii):
    body = json.dumps(value, ensure_ascii=as_ascii).encode()
    assert refused(body, max_depth) == (depth_of(value) > max_depth)


@given(st.lists(st.sampled_from([b"[", b"{", b"]", b"}", b'"', b"\\", b",", b":", b"a", b"1"]), max_size=200))
def test_what_passes_never_exhausts_the_stack_of_the_decoder(parts):
    body = b"".join(parts)
    if not refused(body, 8):
        with suppress(msgspec.DecodeError):
            assert depth_of(msgspec.json.decode(body)) <= 8


@pytest.mark.parametrize("body", [b"[" * 1_000_000, b'{"a":' * 300_000, b'["\\"",' * 100_000, b'"\\\\"' + b"[" * 100])
def test_bombs_are_refused(body):
    with pytest.raises(InputError, match=r"levels deep, at most 64 are allowed"):
        check_depth(body, 64)


def test_many_siblings_are_no_depth():
    check_depth(b"[" + b'{"a":[]},' * 10_000 + b"{}]", 3)


def test_a_depth_is_allowed_up_to_the_limit():
    check_depth(b"[" * 64 + b"]" * 64, 64)
    with pytest.raises(InputError, match="the body nests 65 levels deep"):
        check_depth(b"[" * 65 + b"]" * 65, 64)


def test_no_body_is_not_deep():
    check_depth(b"", 4)


@given(nested, st.integers(1, 8), st.booleans())
def test_values_are_those_of_the_decoded_body(value, max_values, as_ascii):
    body = json.dumps(value, ensure_ascii=as_ascii).encode()
    try:
        check_values(body, max_values)
    except InputError:
        assert values_of(value) > max_values
    else:
        assert values_of(value) <= max_values


@pytest.mark.parametrize("text", [b"1,", b"[],", b'{"a":"b"},', b'"a,","\\"",', b" , "])
def test_more_values_than_anybody_means_to_send_are_refused(text):
    body = b'{"features":[' + text * MAX_VALUES + b"1]}"
    with pytest.raises(InputError, match="the body has more than 100,000 values: send fewer"):
        check_values(body)


@pytest.mark.parametrize("text", [b",", b"\n", b"[,", b'\\",'])
def test_text_is_one_value_whatever_it_holds(text):
    check_values(b'{"prompt":"' + text * 200_000 + b'"}')
