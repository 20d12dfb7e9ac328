"""Who asks: tenants by their API key, the operator by the admin key."""

from __future__ import annotations

import hmac
import os
import secrets
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from beast_ml.errors import AuthenticationError, ForbiddenError
from beast_ml.operations.keys.ring import KeyRing

__all__ = ["DEFAULT_TENANT", "Access", "is_loopback", "is_loopback_address", "kept_secret"]

DEFAULT_TENANT: Final = "default"
"""Whose requests they are on a server that needs no key."""


class Access:
    """Checks keys.

    Parameters
    ----------
    keys
        Of the tenants.
    admin_key
        Of the operator.
    open_without_keys
        Whether a server for which no key was made serves anybody, as the default tenant: only on loopback.
    """

    def __init__(self, keys: KeyRing, admin_key: str, *, open_without_keys: bool) -> None:
        self._keys = keys
        self._admin = sha256(admin_key.encode()).digest()
        self._open = open_without_keys

    @property
    def is_open(self) -> bool:
        """Whether anybody is served as the default tenant now."""
        return self._open and self._keys.is_empty

    def tenant(self, key: bytes | None) -> str:
        """Return whose key it is.

        Raises
        ------
        AuthenticationError
            If there is none, or none that is known.
        """
        if self.is_open:
            return DEFAULT_TENANT  # whatever key it is: OpenAI's clients always send one
        if key is None:
            raise AuthenticationError(
                "no API key: send `Authorization: Bearer KEY`; the operator makes keys with `beast keys create TENANT`"
            )
        return self._keys.tenant_of(key)

    def check_admin(self, key: bytes | None) -> None:
        """Return if it is the operator's key.

        Raises
        ------
        AuthenticationError
            If there is none.
        ForbiddenError
            If it is another.
        """
        if key is None:
            raise AuthenticationError("no admin key: send `Authorization: Bearer KEY` with the server's admin key")
        if not hmac.compare_digest(sha256(key).digest(), self._admin):
            raise ForbiddenError(
                "this key is not the admin key: it is BEAST_ADMIN_KEY, or stands in `admin.key` in the state folder"
            )


def kept_secret(path: Path) -> str:
    """Return a secret from a file that only its owner reads; it is made where there is none.

    Several workers may come at once: all get the same.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_urlsafe(32))
        with suppress(FileExistsError):
            os.link(fresh, path)  # the first one wins, and appears whole
        fresh.unlink()
    return path.read_text("utf-8").strip()


@lru_cache(maxsize=64)
def is_loopback_address(address: bytes) -> bool:
    """Return whether ``host[:port]``, as a header has it, is this machine.

    Examples
    --------
    >>> [is_loopback_address(each) for each in (b"localhost:80", b"127.0.0.1", b"[::1]:80", b"evil.example", b"null")]
    [True, True, True, False, False]
    """
    host = address.decode("latin-1")
    host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return is_loopback(host)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server bound there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
