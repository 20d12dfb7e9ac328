"""Keys, addresses and passwords that other systems' logs carry must end up in no file of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["REMOVED", "without_secrets"]

REMOVED: Final = "[removed]"
"""What stands in a secret's place."""

_NAMES = re.compile(
    r"(^|_|-)(api_?key|api-key|key_hash|authorization|auth_metadata|password|secret|cookie|ip_address|custom_headers)"
    r"($|_hash$|_metadata$)|^user_api_key(_hash|_alias|_user_email)?$",
    re.IGNORECASE,
)
_IN_TEXT = re.compile(r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{12,}|\b[Bb]earer\s+[A-Za-z0-9._~+/=-]{12,}")
_PAIR_IN_TEXT = re.compile(r'("[^"]*(?:api_?key|authorization|password|ip_address)[^"]*"\s*:\s*)"[^"]*"', re.IGNORECASE)


def without_secrets(value: Any) -> Any:
    """Return a raw row in which what looks like a secret, by its name or its form, is replaced.

    Examples
    --------
    >>> without_secrets({"model": "m", "api_key": "5f2c", "note": "used sk-abcdefghijklmnop"})
    {'model': 'm', 'api_key': '[removed]', 'note': 'used [removed]'}
    """
    if isinstance(value, Mapping):
        return {
            key: REMOVED if isinstance(key, str) and item and _NAMES.search(key) else without_secrets(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    if isinstance(value, bytes):
        return _clean(value.decode("utf-8", "backslashreplace"))
    return _clean(value) if isinstance(value, str) else value


def _clean(text: str) -> str:
    return _IN_TEXT.sub(REMOVED, _PAIR_IN_TEXT.sub(rf'\1"{REMOVED}"', text))
