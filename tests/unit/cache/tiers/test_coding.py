import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.cache.tiers.coding import decode_entry, encode_entry
from beast_ml.errors import InputError
from beast_ml.testing.cache_entries import cache_entry, cache_key

ENTRY = cache_entry("one", cache_key(), 0.0, answer=b"yes " * 500, tags=("a",))


@given(st.binary(max_size=100))
def test_bytes_that_are_no_entry_are_none(data: bytes) -> None:
    for kind in (b"", b"\x01", b"\x02", b"\x03"):
        assert decode_entry(kind + data) is None
        assert decode_entry(kind + zlib.crc32(data).to_bytes(4) + data) is None


@given(st.integers(0, 10_000), st.integers(1, 255), st.booleans())
def test_a_damaged_entry_is_none(place: int, flip: int, plain: bool) -> None:
    data = bytearray(encode_entry(ENTRY, compress_from=1 << 20 if plain else 0))
    data[place % len(data)] ^= flip
    assert decode_entry(bytes(data)) is None
    assert decode_entry(bytes(data[: place % len(data)])) is None


def test_what_would_grow_is_not_compressed() -> None:
    short = cache_entry("one", cache_key(), 0.0, answer=b"")
    assert len(encode_entry(short, compress_from=0)) <= len(encode_entry(short))
    assert len(encode_entry(ENTRY)) < 600 < len(encode_entry(ENTRY, compress_from=1 << 20))


def test_half_of_a_character_is_refused() -> None:
    with pytest.raises(InputError, match="half of a character"):
        encode_entry(cache_entry("one", cache_key(), 0.0, tags=("\ud800",)))
