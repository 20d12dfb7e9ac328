"""Request ids that say whose they are: nobody can name another tenant's request, and no look-up is needed to tell."""

from __future__ import annotations

import os
import random
import time
from hashlib import blake2b
from hmac import compare_digest
from typing import Final, Literal

from beast_ml.errors import InputError

__all__ = ["RequestIds", "was_called_here"]

Kind = Literal["req", "chat"]
"""A decision that the client acts on, or a call that the gateway made."""

_KINDS: Final[tuple[Kind, ...]] = ("req", "chat")
_BODY: Final = 24
_TAG_BYTES: Final = 8


class RequestIds:
    """Issues ids, and checks those that clients give back.

    An id is what it stands for, the time in milliseconds, chance, and a keyed hash of these and the tenant.

    Parameters
    ----------
    secret
        Key of the hash, at least 16 bytes; the same on all replicas.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:
            raise InputError(f"the secret has {len(secret)} bytes, must have at least 16")
        self._keyed = blake2b(key=secret, digest_size=_TAG_BYTES)
        self._chance = random.Random(os.urandom(16))  # noqa: S311  ids differ by it; what guards them is the hash

    def issue(self, tenant: str, kind: Kind = "req") -> str:
        """Return a new id for a tenant's request; ids of a kind sort by time."""
        body = f"{time.time_ns() // 1_000_000:012x}{self._chance.getrandbits(48):012x}"
        return f"{kind}_{body}{self._tag(kind, body, tenant)}"

    def check(self, request_id: str, tenant: str) -> str:
        """Return the id if it was issued to this tenant.

        Raises
        ------
        InputError
            If it was not: the message does not tell whether it is somebody else's.
        """
        kind, _, rest = request_id.partition("_")
        body, tag = rest[:_BODY], rest[_BODY:]
        known = kind in _KINDS and len(body) == _BODY and tag.isascii()
        if not (known and compare_digest(self._tag(kind, body, tenant), tag)):
            raise InputError(f"no request {request_id[:64]!r} of yours is known: give the `request_id` of a decision")
        return request_id

    def _tag(self, kind: str, body: str, tenant: str) -> str:
        keyed = self._keyed.copy()
        # Kinds are known and bodies have a fixed length, so no two triples read the same.
        keyed.update(f"{kind}_{body}{tenant}".encode("utf-8", "surrogatepass"))
        return keyed.hexdigest()


def was_called_here(request_id: str) -> bool:
    """Return whether the gateway made the call that an id stands for: then it knows its end better than a client."""
    return request_id.startswith("chat_")
