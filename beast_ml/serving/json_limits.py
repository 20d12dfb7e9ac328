"""Whether there is a body, how deep it nests and how many values it has, told before it is decoded."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from beast_ml.errors import InputError

__all__ = ["MAX_VALUES", "check_body", "check_depth", "check_values"]

MAX_VALUES: Final = 100_000
"""Decoding costs about .2 us a value: two megabytes of ``1,1,1,`` would keep a worker for a quarter of a second."""

_OPEN: Final = b"[{"
_CLOSE: Final = b"]}"
_STEPS: Final = bytes(1 if i in _OPEN else 255 if i in _CLOSE else 0 for i in range(256))  # 255 is -1 in int8
_NO_SIGNS: Final = bytes(i for i in range(256) if i not in _OPEN + _CLOSE + b'"')
_NO_COMMAS: Final = bytes(i for i in range(256) if i not in b',"')


def check_body(body: bytes, max_depth: int) -> None:
    """Refuse a body that is not to be decoded; see `check_depth` and `check_values`.

    Raises
    ------
    msgspec.DecodeError
        If it is empty.
    InputError
        If it is too deep, or too much.
    """
    if not body:
        raise msgspec.DecodeError("it is empty")
    check_depth(body, max_depth)
    check_values(body)


def check_depth(body: bytes, max_depth: int) -> None:
    """Refuse JSON whose arrays and objects nest too deep, so that decoding it cannot exhaust the stack.

    Brackets in strings do not count. What is no JSON is left to the decoder, which stops at the first wrong byte;
    up to there, depths are told as it would find them.

    Raises
    ------
    InputError
        If there are more levels than allowed.

    Examples
    --------
    >>> check_depth(b'{"text": "[[[["}', 1)
    >>> check_depth(b'{"messages": [[]]}', 2)
    Traceback (most recent call last):
    beast_ml.errors.InputError: the body nests 3 levels deep, at most 2 are allowed: send flatter JSON
    """
    signs = body.translate(None, _NO_SIGNS)
    if signs.count(b"[") + signs.count(b"{") <= max_depth:
        return  # most bodies: even with those in strings it is not too much
    outside = _outside_strings(body, _NO_SIGNS)
    if outside.count(b"[") + outside.count(b"{") <= max_depth:
        return
    steps = np.frombuffer(outside.translate(_STEPS), np.int8)
    depth = int(np.cumsum(steps, dtype=np.int32).max(initial=0))
    if depth > max_depth:
        raise InputError(f"the body nests {depth} levels deep, at most {max_depth} are allowed: send flatter JSON")


def check_values(body: bytes, max_values: int = MAX_VALUES) -> None:
    """Refuse JSON of more values than anybody means to send, before they are made.

    Each but the first of an array or object follows a comma; commas in strings do not count.

    Raises
    ------
    InputError
        If there are more than allowed.

    Examples
    --------
    >>> check_values(b'{"text": "1,1,1,1"}', 3)
    >>> check_values(b"[1,1,1,1]", 3)
    Traceback (most recent call last):
    beast_ml.errors.InputError: the body has more than 3 values: send fewer at once, and feature rows as base64 float32
    """
    if len(body) <= max_values or body.count(b",") < max_values:
        return
    if _outside_strings(body, _NO_COMMAS).count(b",") >= max_values:
        raise InputError(
            f"the body has more than {max_values:,} values: send fewer at once, and feature rows as base64 float32"
        )


def _outside_strings(body: bytes, without: bytes) -> bytes:
    """Return what of a body stands outside of strings, without some bytes; quotes are not among these."""
    if b'\\"' in body:  # quotes that end no string, unless a backslash that is escaped itself stands before them
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(body.translate(None, without).split(b'"')[::2])
