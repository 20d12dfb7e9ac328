"""Keys of a logged request's context that are ours: a client that set them would speak in the server's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from beast_ml.errors import InputError
from beast_ml.logs.schema import ASKED_FOR, ATTEMPT_ENDPOINTS

__all__ = ["RESERVED_KEYS", "check_context"]

RESERVED_KEYS: Final = frozenset(
    {
        ASKED_FOR,
        ATTEMPT_ENDPOINTS,
        "cache_entry",
        "cache_kind",
        "prompt_hash",
        "shadow_model",
        "shadow_policy_version",
        "shadow_propensity",
    }
)
"""All of them."""


def check_context(context: Mapping[str, str]) -> None:
    """Refuse a client's context that has one of our keys.

    Raises
    ------
    InputError
        If it has.
    """
    if not RESERVED_KEYS.isdisjoint(context):
        ours = ", ".join(f"`{key}`" for key in sorted(RESERVED_KEYS.intersection(context)))
        raise InputError(f"`context` has {ours}, which the server itself writes: name it otherwise")
