"""What can be invalidated at once, and what each entry belongs to."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal

import msgspec

from beast_ml.cache.entry import CacheEntry
from beast_ml.errors import InputError

__all__ = ["EVERYTHING", "TENANT", "Scope", "ScopeKind", "scope_names"]

ScopeKind = Literal["all", "tenant", "partition", "entry", "tag", "model", "policy_version", "document"]
"""By what entries are named that are to go."""

_SHARED: Final = "tag", "model", "policy_version", "document"  # names that several tenants may use
_LETTERS: Final = {
    "all": "*",
    "tenant": "T",
    "partition": "P",
    "entry": "e",
    "tag": "t",
    "model": "m",
    "policy_version": "p",
    "document": "d",
}
_SEPARATOR: Final = "\x1f"
_MAX_LENGTH: Final = 512
_UNFIT: Final = re.compile("[\\x00-\\x1f\\ud800-\\udfff]")  # the separator, and what no database takes as text


class Scope(msgspec.Struct, frozen=True):
    """A set of entries that become invalid together.

    Parameters
    ----------
    kind
        By what they are chosen; ``all`` chooses every entry, ``entry`` one by its id.
    value
        The id, tag, tenant, model, policy version, document fingerprint, or hexadecimal partition.
    tenant_id
        Restrict a tag, model, policy version or document to one tenant's entries; None means everybody's.

    Raises
    ------
    InputError
        By `name`, if it is no scope.

    Examples
    --------
    >>> Scope("tag", "prices", tenant_id="acme").name == Scope("tag", "prices").name
    False
    >>> Scope("tenant", "")
    Traceback (most recent call last):
    ...
    beast_ml.errors.InputError: a scope of kind 'tenant' needs a value of 1 to 512 characters, got ''
    """

    kind: ScopeKind
    value: str = ""
    tenant_id: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in _LETTERS:
            raise InputError(f"the scope's kind == {self.kind!r}, must be one of {', '.join(_LETTERS)}")
        if (self.kind == "all") == bool(self.value) or len(self.value) > _MAX_LENGTH:
            raise InputError(
                f"a scope of kind {self.kind!r} needs "
                + ("no value" if self.kind == "all" else f"a value of 1 to {_MAX_LENGTH} characters")
                + f", got {self.value[:40]!r}"
            )
        if self.tenant_id is not None and self.kind not in _SHARED:
            raise InputError(f"a scope of kind {self.kind!r} cannot be restricted to a tenant: leave `tenant_id` out")
        if _UNFIT.search(self.value + (self.tenant_id or "")):
            raise InputError(
                "a scope's value or tenant has a control character in it, or half a character: take it out"
            )

    @property
    def name(self) -> str:
        """Return what it is stored under."""
        if self.kind == "all":
            return EVERYTHING
        return _name(_LETTERS[self.kind], self.value, self.tenant_id)


EVERYTHING: Final = "*"
"""The name of the scope that holds every entry."""

TENANT: Final = f"T{_SEPARATOR}"
"""How the names of tenants' scopes begin."""


def scope_names(entry: CacheEntry) -> tuple[str, ...]:
    """Return the names of all the scopes that an entry is in, but `EVERYTHING`.

    Examples
    --------
    >>> from beast_ml.cache.entry import CacheKey
    >>> key = CacheKey(tenant_id="acme", partition=b"p", exact=b"e", normalised=b"n", text=None)
    >>> entry = CacheEntry(entry_id="1", key=key, answer=b"", created_at=0.0, expires_at=1.0, model="m", tags=("x",))
    >>> Scope("tag", "x", "acme").name in scope_names(entry), Scope("tag", "y").name in scope_names(entry)
    (True, False)
    """
    key = entry.key
    shared = _shared_names(key.tenant_id, entry.model, entry.policy_version, entry.tags, entry.documents)
    return (f"e{_SEPARATOR}{entry.entry_id}", f"P{_SEPARATOR}{key.partition.hex()}", *shared)


@lru_cache(4096)  # few combinations recur, and a lookup has no microseconds to spare
def _shared_names(
    tenant: str, model: str, policy_version: str, tags: tuple[str, ...], documents: tuple[str, ...]
) -> tuple[str, ...]:
    names = [TENANT + tenant, *_both("m", model, tenant)]
    if policy_version:
        names += _both("p", policy_version, tenant)
    for tag in tags:
        names += _both("t", tag, tenant)
    for document in documents:
        names += _both("d", document, tenant)
    return tuple(names)


def _both(letter: str, value: str, tenant: str) -> tuple[str, str]:
    name = f"{letter}{_SEPARATOR}{value}"
    return name, f"{name}{_SEPARATOR}{tenant}"


def _name(letter: str, value: str, tenant: str | None) -> str:
    return f"{letter}{_SEPARATOR}{value}" + ("" if tenant is None else f"{_SEPARATOR}{tenant}")
