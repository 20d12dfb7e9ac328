"""Entries as bytes, for tiers that keep bytes.

One byte says how, four are a CRC-32 of the rest, MessagePack follows, compressed where that pays.
"""

from __future__ import annotations

import zlib
from typing import Final

import msgspec

from beast_ml.cache.entry import CacheEntry
from beast_ml.errors import InputError

__all__ = ["decode_entry", "encode_entry"]

_PLAIN: Final = b"\x01"
_ZLIB: Final = b"\x02"
_LONGEST: Final = 1 << 28
"""Nothing longer is unpacked: such an entry was not made here."""

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(CacheEntry)


def encode_entry(entry: CacheEntry, compress_from: int = 1024) -> bytes:
    """Return an entry as bytes; those of so many bytes or more are compressed if that makes them smaller.

    Raises
    ------
    InputError
        If a text of it is none that can be written.

    Examples
    --------
    >>> from beast_ml.cache.entry import CacheKey
    >>> key = CacheKey(tenant_id="acme", partition=b"p", exact=b"e", normalised=b"n", text="hello")
    >>> entry = CacheEntry(entry_id="1", key=key, answer=b"hi " * 1000, created_at=0.0, expires_at=60.0, model="m")
    >>> decode_entry(encode_entry(entry)) == entry, len(encode_entry(entry)) < 500
    (True, True)
    """
    try:
        plain = _ENCODER.encode(entry)
    except UnicodeEncodeError as error:
        raise InputError(f"an entry holds half of a character, which cannot be kept: {error}") from error
    if len(plain) >= compress_from:
        packed = zlib.compress(plain, level=1)
        if len(packed) < len(plain):
            return _ZLIB + _sum(packed) + packed
    return _PLAIN + _sum(plain) + plain


def decode_entry(data: bytes) -> CacheEntry | None:
    """Return the entry; None for what is damaged, or was written by a release that this one does not know."""
    kind, checksum, rest = data[:1], data[1:5], data[5:]
    if checksum != _sum(rest):
        return None
    try:
        if kind == _ZLIB:
            unpacking = zlib.decompressobj()
            rest = unpacking.decompress(rest, _LONGEST)
            if not unpacking.eof:
                return None
        elif kind != _PLAIN:
            return None
        return _DECODER.decode(rest)
    except (zlib.error, msgspec.DecodeError):  # a value of the wrong type is a DecodeError, too
        return None


def _sum(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4)
