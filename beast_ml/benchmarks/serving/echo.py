"""A bare echo behind the same server: what HTTP alone costs on this machine.

python -m beast_ml.benchmarks.serving.echo PORT WORKERS
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

__all__ = ["app", "serve"]

_HEADERS: Final = (b"content-type", b"application/json")

Message = MutableMapping[str, Any]


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Answer every request with its own body."""
    if scope["type"] != "http":
        raise ValueError(f"an echo serves http, not {scope['type']}")
    message = await receive()
    body: bytes = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    headers = [_HEADERS, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def serve(port: int, workers: int = 1) -> None:
    """Serve until told to stop, as `beast serve` sets its HTTP server up."""
    import uvicorn

    uvicorn.run(
        f"{__name__ if __name__ != '__main__' else 'beast_ml.benchmarks.serving.echo'}:app",
        host="127.0.0.1",
        port=port,
        workers=workers,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
        backlog=2048,
    )


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
