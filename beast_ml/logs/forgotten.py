"""Whose texts are to be gone: named by whoever asks, or known by hashes alone from a list that outlives the texts.

The list is what keeps a restored backup from bringing back what was deleted after it was made. It names nobody: each
entry has a salt of its own, and hashes of the tenant and of the user under it. Who guesses a name can try it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Final, Protocol

import msgspec

from beast_ml.errors import DataError
from beast_ml.logs.segments import sync_folder

__all__ = ["FORGOTTEN_FILE", "ForgottenOne", "Named", "Whose", "read_forgotten", "remember_forgotten"]

FORGOTTEN_FILE: Final = "forgotten.jsonl"
"""Name of the list, in a state folder and beside the backups."""


class Whose(Protocol):
    """Says whether a row is one of those that are to go."""

    @property
    def before(self) -> datetime:
        """Rows received before this time."""
        ...

    @property
    def prompts_only(self) -> bool:
        """Whether the texts go, and the rows stay."""
        ...

    def is_tenant(self, tenant: str) -> bool:
        """Return whether it is this tenant's."""
        ...

    def is_user(self, user: str | None) -> bool:
        """Return whether it is this user's; true of everybody where the whole tenant is meant."""
        ...


@dataclass(frozen=True)
class Named:
    """A tenant, or a user of it, by name.

    Parameters
    ----------
    tenant
        Whose rows.
    user
        Of these, whose; None: all users', and those that name none.
    before
        Rows received before this time.
    prompts_only
        Whether the texts go, and the rows stay.
    """

    tenant: str
    user: str | None
    before: datetime
    prompts_only: bool

    def is_tenant(self, tenant: str) -> bool:
        """Return whether it is this tenant."""
        return tenant == self.tenant

    def is_user(self, user: str | None) -> bool:
        """Return whether it is this user, or any."""
        return self.user is None or user == self.user

    def hashed(self) -> ForgottenOne:
        """Return the same without the names."""
        salt = os.urandom(16)
        user = None if self.user is None else _hash(salt, self.user)
        return ForgottenOne(salt.hex(), _hash(salt, self.tenant), user, self.before, self.prompts_only)


class ForgottenOne(msgspec.Struct, frozen=True):
    """A tenant, or a user of it, by hashes.

    Parameters
    ----------
    salt
        Of the hashes, in hexadecimal.
    tenant, user
        Hashes; no user: the whole tenant.
    before, prompts_only
        As in `Named`.
    """

    salt: str
    tenant: str
    user: str | None
    before: datetime
    prompts_only: bool

    def is_tenant(self, tenant: str) -> bool:
        """Return whether it is this tenant."""
        return _hash(bytes.fromhex(self.salt), tenant) == self.tenant

    def is_user(self, user: str | None) -> bool:
        """Return whether it is this user, or any."""
        return self.user is None or (user is not None and _hash(bytes.fromhex(self.salt), user) == self.user)


def remember_forgotten(file: Path, one: ForgottenOne) -> None:
    """Add to a list; on the disk when this returns."""
    fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, msgspec.json.encode(one) + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)
    sync_folder(file.parent)


def read_forgotten(files: Iterable[Path]) -> list[ForgottenOne]:
    """Return who is on any of these lists, everyone once; a list that is not there names nobody.

    Raises
    ------
    DataError
        If a list is damaged: then it is not known who must not come back.
    """
    found: dict[ForgottenOne, None] = {}
    for file in files:
        try:
            lines = file.read_bytes().splitlines()
        except FileNotFoundError:
            continue
        for number, line in enumerate(lines, 1):
            try:
                found[msgspec.json.decode(line, type=ForgottenOne)] = None
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise DataError(
                    f"line {number} of {file} is damaged ({error}): without it texts that were deleted could come "
                    "back; take the list of a later backup, or delete the line and forget by hand again"
                ) from error
    return list(found)


def _hash(salt: bytes, name: str) -> str:
    return blake2b(name.encode("utf-8", "surrogatepass"), salt=salt, digest_size=16, person=b"forgotten").hexdigest()
