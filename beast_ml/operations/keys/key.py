"""What an API key looks like, and what is kept of it: never the key itself."""

from __future__ import annotations

import re
import secrets
from datetime import datetime
from hashlib import sha256
from typing import Final

import msgspec

from beast_ml.errors import InputError

__all__ = ["ApiKey", "check_name", "check_tenant", "digest_of", "id_in", "new_key"]

_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_MAX_NAME: Final = 100
_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 24


class ApiKey(msgspec.Struct, frozen=True):
    """A key as it is kept: all but its secret.

    Parameters
    ----------
    id
        Its public part: stands in lists and logs, and is what a key is revoked by.
    digest
        SHA-256 of the whole key. It needs neither salt nor stretching: the secret has 192 random bits.
    tenant, name
        Whose it is, and what for.
    created_at, expires_at, revoked_at
        Aware UTC; None: never.
    admin
        Whether it may do what the admin key may; no key of a tenant does.
    """

    id: str
    digest: bytes
    tenant: str
    name: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    admin: bool = False

    def state(self, now: datetime) -> str:
        """Return ``active``, ``expired`` or ``revoked``."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


def new_key() -> tuple[str, str]:
    """Return the id of a new random key, and the key: ``bst_<id>_<secret>``."""
    key_id = secrets.token_hex(_ID_BYTES)
    return key_id, f"bst_{key_id}_{secrets.token_hex(_SECRET_BYTES)}"


def digest_of(key: bytes) -> bytes:
    """Return what is kept of a key."""
    return sha256(key).digest()


def id_in(text: str) -> str:
    """Return the id where an id or a whole key is given.

    Examples
    --------
    >>> id_in("0a1b2c3d4e5f"), id_in("bst_0a1b2c3d4e5f_99")
    ('0a1b2c3d4e5f', '0a1b2c3d4e5f')
    """
    return text.removeprefix("bst_").partition("_")[0]


def check_tenant(tenant: str) -> str:
    """Return a tenant's name when it is one.

    Raises
    ------
    InputError
        If it is not: budgets write ``tenant/user`` and ``*``, metrics and files carry tenants as they are.
    """
    if not _TENANT.fullmatch(tenant):
        raise InputError(
            f"`tenant` == {tenant[:80]!r}, must be 1 to 64 letters, digits or . _ @ - and start with a letter or digit"
        )
    return tenant


def check_name(name: str) -> str:
    """Return a key's name when it can be shown in a list.

    Raises
    ------
    InputError
        If it is too long, or holds what cannot be printed.
    """
    if len(name) > _MAX_NAME or not (name.isprintable()):
        raise InputError(f"`name` == {name[:80]!r}, must be at most {_MAX_NAME} printable characters")
    return name
