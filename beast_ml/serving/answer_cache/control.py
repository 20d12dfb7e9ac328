"""What a client's ``Cache-Control`` asks for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

__all__ = ["CacheControl", "cache_control"]


class CacheControl(msgspec.Struct, frozen=True):
    """The directives of a request that are heeded (RFC 9111, 5.2.1).

    Parameters
    ----------
    no_cache
        The answer must be new; it may be kept.
    no_store
        The answer must be new, and is not kept.
    max_age_s
        Nothing older is wanted.
    """

    no_cache: bool = False
    no_store: bool = False
    max_age_s: float | None = None

    def within(self, max_age_s: float | None) -> CacheControl:
        """Return it with nothing older than that, either."""
        ages = [age for age in (self.max_age_s, max_age_s) if age is not None]
        return msgspec.structs.replace(self, max_age_s=min(ages, default=None))


_ANYTHING: Final = CacheControl()


def cache_control(headers: Iterable[tuple[bytes, bytes]]) -> CacheControl:
    """Return what the headers of a request say; directives that are not known are passed over, as they must be.

    Examples
    --------
    >>> cache_control([(b"cache-control", b"max-age=60, No-Store")])
    CacheControl(no_cache=False, no_store=True, max_age_s=60.0)
    """
    said = [value for name, value in headers if name == b"cache-control"]
    if not said:
        return _ANYTHING
    words = [word.strip().lower() for value in said for word in value.split(b",")]
    ages = [word.partition(b"=")[2].strip(b' "') for word in words if word.startswith(b"max-age=")]
    seconds = [float(age) if age.isdigit() else 0.0 for age in ages]  # an age that is none: the safest reading
    max_age_s = min(seconds, default=None)
    return CacheControl(b"no-cache" in words or max_age_s == 0.0, b"no-store" in words, max_age_s)
