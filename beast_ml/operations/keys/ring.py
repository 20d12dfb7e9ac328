"""The keys as a worker knows them: in memory, and looked up without asking anyone."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from beast_ml.errors import AuthenticationError, UnavailableError
from beast_ml.events import events
from beast_ml.operations.keys.key import ApiKey

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["KeyRing"]

_NEVER: Final = float("inf")
_SOONEST_S: Final = 0.25


class _Keys(Protocol):
    """What a ring asks of a store; see `beast_ml.operations.keys.store.KeyStore`."""

    def n_changes(self) -> int: ...

    def read(self) -> tuple[int, tuple[ApiKey, ...]]: ...

    def close(self) -> None: ...


class KeyRing:
    """All keys, by their hashes, read again by a thread when they changed.

    While the database is away, the keys of before hold; so does a file of them, so that a worker can start, too.
    An unknown key makes the thread look at once: a key that was just made works on the next try.

    Parameters
    ----------
    store
        Where keys are kept; it is closed with the ring.
    refresh_s
        Seconds between looks at the store: the longest that a revoked key still works.
    copy
        A file that holds what was read last (hashes, no keys); None: none is kept.
    now
        Seconds since the epoch.

    Examples
    --------
    >>> from datetime import UTC
    >>> from beast_ml.operations.keys.key import digest_of
    >>> class Store:
    ...     def n_changes(self):
    ...         return 1
    ...     def read(self):
    ...         return 1, (ApiKey("0a", digest_of(b"bst_0a_ff"), "acme", "", datetime(2026, 1, 1, tzinfo=UTC)),)
    >>> ring = KeyRing(Store())
    >>> ring.refresh()
    >>> ring.tenant_of(b"bst_0a_ff")
    'acme'
    """

    def __init__(
        self,
        store: _Keys,
        refresh_s: float = 2.0,
        copy: Path | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._refresh_s = refresh_s
        self._copy = copy
        self._now = now
        self._keys: dict[bytes, tuple[str, float, ApiKey]] | None = None  # None: not read yet
        self._n_changes: int | None = None
        self._error: str | None = None
        self._uncopied: Sequence[ApiKey] | None = None  # what the file does not hold yet: it is tried again
        self._copy_error: str | None = None
        self._look = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it is known that no key was ever made."""
        return self._keys is not None and not self._keys

    @property
    def error(self) -> str | None:
        """Why the store could not be read the last time; None: it could."""
        return self._error

    def tenant_of(self, key: bytes) -> str:
        """Return whose key it is.

        Raises
        ------
        AuthenticationError
            If it is unknown, has expired or was revoked.
        UnavailableError
            If keys were never read: the database has been away since before the start.
        """
        if self._keys is None:
            raise UnavailableError(f"API keys cannot be checked yet: {self._error or 'they were not read yet'}; retry")
        found = self._keys.get(sha256(key).digest())
        if found is None:
            self._look.set()
            raise AuthenticationError("the API key is not known: check it, or make one with `beast keys create`")
        tenant, ends_at, entry = found
        if self._now() >= ends_at:
            raise _no_longer(entry)
        return tenant

    def refresh(self) -> None:
        """Read the keys if they changed; what goes wrong is kept in `error`, and said once."""
        try:
            if self._store.n_changes() != self._n_changes:
                n, keys = self._store.read()
                self._set(keys)
                self._n_changes = n
                self._uncopied, self._copy_error = keys, None
            if self._uncopied is not None and self._write_copy(self._uncopied):
                self._uncopied = None
        except UnavailableError as error:
            if self._error is None:
                events.warning("keys.unavailable", error=str(error))
            self._error = str(error)
            if self._keys is None:
                self._read_copy()
        else:
            if self._error is not None:
                events.info("keys.available")
            self._error = None

    def start(self) -> None:
        """Read the keys, and go on reading them in a thread."""
        self.refresh()
        self._thread = threading.Thread(target=self._follow, name="beast-keys", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reading; what is known stays so."""
        self._closed = True
        self._look.set()
        if self._thread is not None:
            self._thread.join(timeout=10.0)
        self._store.close()

    def _follow(self) -> None:
        while not self._closed:
            if self._look.wait(self._refresh_s) and not self._closed:
                time.sleep(_SOONEST_S)  # guesses at keys do not become a stream of queries
            self._look.clear()
            if not self._closed:
                try:
                    self.refresh()
                except Exception as error:  # noqa: BLE001 - the thread's edge: it must outlive whatever it meets
                    events.error("keys.refresh_failed", error=repr(error))
                    self._error = repr(error)

    def _set(self, keys: Sequence[ApiKey]) -> None:
        self._keys = {key.digest: (key.tenant, _ends_at(key), key) for key in keys}

    def _write_copy(self, keys: Sequence[ApiKey]) -> bool:
        """Return whether the file holds these keys; why it does not is said once."""
        if self._copy is None:
            return True
        new = self._copy.with_name(f"{self._copy.name}.{os.getpid()}")
        try:
            self._copy.parent.mkdir(parents=True, exist_ok=True)
            new.touch(0o600)
            new.write_bytes(msgspec.json.encode(keys))
            new.replace(self._copy)
        except OSError as error:
            if self._copy_error is None:
                events.warning("keys.copy_not_written", error=str(error))
            self._copy_error = str(error)
            with suppress(OSError):
                new.unlink(missing_ok=True)
            return False
        return True

    def _read_copy(self) -> None:
        if self._copy is None:
            return
        try:
            keys = msgspec.json.decode(self._copy.read_bytes(), type=list[ApiKey])
        except (OSError, msgspec.MsgspecError):
            return
        self._set(keys)
        events.warning("keys.from_copy", n_keys=len(keys))


def _ends_at(key: ApiKey) -> float:
    if key.revoked_at is not None:
        return 0.0
    return _NEVER if key.expires_at is None else key.expires_at.timestamp()


def _no_longer(key: ApiKey) -> AuthenticationError:
    """Say what became of a key, to someone who has proven to hold it."""
    at: datetime | None
    what, at = ("was revoked", key.revoked_at) if key.revoked_at is not None else ("expired", key.expires_at)
    when = f" at {at:%Y-%m-%d %H:%M} UTC" if at is not None else ""
    return AuthenticationError(
        f"the API key {key.id} {what}{when}: make a new one with `beast keys create {key.tenant}`"
    )
