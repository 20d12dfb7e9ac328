"""Server-sent events of a chat stream: cut out of what comes, read as far as needed, passed on as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from beast_ml.serving.gateway.accounting import Usage

__all__ = ["DONE", "ChunkReader", "Event", "EventSplitter", "data_event", "event_data"]

DONE: Final = b"[DONE]"
"""Data of a stream's last event."""

_MAX_EVENT: Final = 8 << 20


class EventSplitter:
    """Cuts bytes into events, wherever the network cut them before."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the events that are whole now, each with its blank line.

        Raises
        ------
        ValueError
            If an event does not end.
        """
        rest = self._rest + data if self._rest else data
        if b"\r" in rest:  # one at the end may wait for its other half
            rest = rest.replace(b"\r\n", b"\n")
        start = 0
        while (end := rest.find(b"\n\n", start)) >= 0:
            yield rest[start : end + 2]
            start = end + 2
        self._rest = rest[start:]
        if len(self._rest) > _MAX_EVENT:
            raise ValueError(f"an event is longer than {_MAX_EVENT:,} bytes")


class _Delta(msgspec.Struct, frozen=True):
    content: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[msgspec.Raw] | None = None


class _Choice(msgspec.Struct, frozen=True):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, frozen=True):
    choices: list[_Choice] | None = None
    usage: Usage | None = None
    error: Any = None


class Event(msgspec.Struct, frozen=True):
    """What an event says.

    Parameters
    ----------
    done
        Whether it is the end.
    n_characters
        Of text in it.
    finished
        Whether a choice ends with it.
    usage
        Token counts, where it has them.
    only_usage
        Whether it has nothing else, so that a client that did not ask for it gets none.
    error
        What went wrong, where it says so.
    """

    done: bool = False
    n_characters: int = 0
    finished: bool = False
    usage: Usage | None = None
    only_usage: bool = False
    error: bytes | None = None


_NOTHING: Final = Event()
_DONE: Final = Event(done=True)


class ChunkReader:
    """Reads events of a chat stream."""

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder(_Chunk).decode

    def read(self, event: bytes) -> Event:
        """Return what an event says; comments say nothing.

        Raises
        ------
        msgspec.DecodeError
            If it is no chunk.
        """
        data = event_data(event)
        if not data:
            return _NOTHING
        if data.strip() == DONE:
            return _DONE
        chunk = self._decode(data)
        if chunk.error is not None:
            return Event(error=data)
        choices = chunk.choices or ()
        n, finished = 0, False
        for choice in choices:
            finished = finished or choice.finish_reason is not None
            if choice.delta is not None:
                delta = choice.delta
                n += len(delta.content or "") + len(delta.reasoning_content or "") + len(delta.refusal or "")
                n += sum(len(bytes(call)) for call in delta.tool_calls or ())
        return Event(False, n, finished, chunk.usage, chunk.usage is not None and not choices)


def event_data(event: bytes) -> bytes:
    """Return what an event carries; nothing of a comment."""
    if event.startswith(b"data: ") and event.count(b"\n") == 2:
        return event[6:-2]
    lines = (line for line in event.split(b"\n") if line.startswith(b"data:"))
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)


def data_event(body: bytes) -> bytes:
    """Return an event with this JSON."""
    return b"data: %b\n\n" % body
