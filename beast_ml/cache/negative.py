"""Refusals and errors are kept, too, for a short while: a broken request is not paid for over and over."""

from __future__ import annotations

from typing import Final

import msgspec

from beast_ml.cache.entry import CacheEntry
from beast_ml.errors import InputError

__all__ = ["NegativeLives"]

_NOBODYS: Final = b"negative:"
"""Begins keys that no request has."""


class NegativeLives(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Longest lives, in seconds, of what is no answer. 0: not kept.

    Parameters
    ----------
    refusal_s, error_s
        Of refusals, and of errors.
    """

    refusal_s: float = 300.0
    error_s: float = 5.0

    def __post_init__(self) -> None:
        for name in ("refusal_s", "error_s"):
            if not getattr(self, name) >= 0:
                raise InputError(f"`{name}` == {getattr(self, name)}, must be >= 0")

    def shorten(self, entry: CacheEntry) -> CacheEntry:
        """Return a refusal or an error as it is kept: not for long, and found under its exact key only.

        Else it would be found in the place of answers to requests that differ in their form, as younger than those.
        """
        life_s = self.refusal_s if entry.kind == "refusal" else self.error_s
        return msgspec.structs.replace(
            entry,
            key=msgspec.structs.replace(entry.key, normalised=_NOBODYS + entry.key.exact, text=None),
            expires_at=min(entry.expires_at, entry.created_at + life_s),
        )
