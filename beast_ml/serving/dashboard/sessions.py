"""Who may look: nobody else's pages on this machine; where a key is asked for, who has shown the admin key."""

from __future__ import annotations

import hmac
import secrets
import time
from hashlib import sha256
from typing import Final

__all__ = ["COOKIE", "Sessions"]

COOKIE: Final = "beast_dashboard"
"""Name of the cookie that a session is known by."""

_LIFE_S: Final = 12 * 3600.0
_MOST: Final = 100


class Sessions:
    """Browsers that have shown the admin key.

    Parameters
    ----------
    admin_key
        None: nobody can.
    """

    def __init__(self, admin_key: str | None) -> None:
        self._admin = None if admin_key is None else sha256(admin_key.encode()).digest()
        self._until_s: dict[bytes, float] = {}

    def begin(self, key: str) -> str | None:
        """Return the token of a new session; None if the key is wrong."""
        if self._admin is None or not hmac.compare_digest(sha256(key.encode()).digest(), self._admin):
            return None
        now_s = time.monotonic()
        living = sorted(((until_s, each) for each, until_s in self._until_s.items() if until_s > now_s), reverse=True)
        self._until_s = {each: until_s for until_s, each in living[: _MOST - 1]}
        token = secrets.token_urlsafe(32)
        self._until_s[sha256(token.encode()).digest()] = now_s + _LIFE_S
        return token

    def holds(self, token: str | None) -> bool:
        """Return whether a token is of a session that has not ended."""
        return token is not None and self._until_s.get(sha256(token.encode()).digest(), 0.0) > time.monotonic()
