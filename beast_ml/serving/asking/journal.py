"""Every call that was made, on the disk as soon as it ended: what was paid for is not asked again."""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from beast_ml.domain.failure import ErrorKind
from beast_ml.domain.money import nano_usd
from beast_ml.errors import DataError

__all__ = ["AskedCall", "CallJournal", "call_key"]

_DIGEST_BYTES: Final = 16


class AskedCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of an endpoint.

    Parameters
    ----------
    key
        Of `call_key`: who was asked what.
    model, endpoint
        Who was asked.
    error_kind, said
        Why there is no answer, in our words and the provider's; None and empty where there is one.
    text
        The answer; None where there is none.
    input_tokens, output_tokens
        As the provider counts them, else estimated.
    cost_usd
        What it cost; of a failed call what it may have cost at most.
    latency_s
        Seconds to the whole answer, or to the failure.
    """

    key: str
    model: str
    endpoint: str
    error_kind: ErrorKind | None = None
    said: str = ""
    text: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float = 0.0
    latency_s: float = 0.0


def call_key(base_url: str, body: bytes) -> str:
    """Return the name of a call: the same body put to the same address."""
    return blake2b(base_url.encode() + b"\0" + body, digest_size=_DIGEST_BYTES).hexdigest()


class CallJournal:
    """A file with one line of JSON a call.

    Parameters
    ----------
    path
        The file; it need not exist. A last line that was cut by a crash is dropped.

    Raises
    ------
    DataError
        If it cannot be read, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls: list[AskedCall] = []
        try:
            self._read()
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"cannot keep calls in {path}: {error}") from error
        self._answers = {call.key: call for call in self.calls if call.error_kind is None}

    @property
    def spent_nano(self) -> int:
        """Nano-dollars that all its calls may have cost."""
        return sum(nano_usd(call.cost_usd) for call in self.calls)

    def answer(self, key: str) -> AskedCall | None:
        """Return the call that was answered, if one was."""
        return self._answers.get(key)

    def add(self, call: AskedCall) -> None:
        """Write a call; it survives this process once this returns."""
        with self.path.open("ab") as stream:
            stream.write(msgspec.json.encode(call) + b"\n")
        self.calls.append(call)
        if call.error_kind is None:
            self._answers[call.key] = call

    def _read(self) -> None:
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        for number, line in enumerate(content[:whole].splitlines(), 1):
            try:
                self.calls.append(msgspec.json.decode(line, type=AskedCall))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise DataError(f"line {number} of {self.path} is no call ({error}): name another file") from error
        if whole < len(content):
            os.truncate(self.path, whole)
