"""Read and answer HTTP on bare ASGI: what every endpoint shares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from beast_ml.errors import InputError

__all__ = ["JSON", "BodyTooLargeError", "ClientGoneError", "Receive", "Scope", "Send", "bearer", "read_body", "respond"]

Scope = MutableMapping[str, Any]
"""What ASGI says of a request."""

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
"""Gives its body, part by part."""

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
"""Takes its answer."""

JSON: Final = b"application/json"
"""The media type."""


class BodyTooLargeError(InputError):
    """The body of a request is larger than the server reads."""


class ClientGoneError(Exception):
    """The client hung up before its request was whole: there is nobody to answer."""


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """Return the body of a request.

    Raises
    ------
    BodyTooLargeError
        If it is longer than ``limit`` bytes, as soon as that is known.
    ClientGoneError
        If it never came whole.
    """
    for name, value in scope["headers"]:
        if name == b"content-length":
            if value.isdigit() and int(value) > limit:
                raise _too_large(limit)
            break
    message = await receive()
    if message["type"] != "http.request":
        raise ClientGoneError
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        parts, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            if message["type"] != "http.request":
                raise ClientGoneError
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise _too_large(limit)
        body = b"".join(parts)
    if len(body) > limit:
        raise _too_large(limit)
    return body


def bearer(scope: Scope) -> bytes | None:
    """Return the token of ``Authorization: Bearer``; None where there is none."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            return value[7:].strip() or None if value[:7].lower() == b"bearer " else None
    return None


async def respond(
    send: Send, status: int, body: bytes, kind: bytes = JSON, headers: Mapping[str, str] | None = None
) -> None:
    """Send a whole answer."""
    fields = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    if headers:
        fields += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"the body is larger than {limit:,} bytes: send less, or raise serving.max_body_bytes")
