"""LiteLLM's router with mocked responses behind a bare ASGI app; run by a Python of its own, which has LiteLLM.

PYTHON -P litellm_app.py PORT
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from importlib import import_module
from importlib.metadata import version
from typing import Any

__all__ = ["app", "serve"]

Message = MutableMapping[str, Any]


@cache
def _router() -> Any:
    litellm: Any = import_module("litellm")
    litellm.suppress_debug_info = True
    deployments = [
        {
            "model_name": "pool",
            "litellm_params": {"model": f"openai/model-{i}", "api_key": "none", "mock_response": "ok"},
        }
        for i in range(3)
    ]
    return litellm.Router(model_list=deployments)


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Answer a prompt with what the router answers; a GET with its version."""
    body = (await receive())["body"]
    if body:
        messages = [{"role": "user", "content": json.loads(body)["prompt"]}]
        answer = await _router().acompletion(model="pool", messages=messages)
        said = json.dumps({"model": answer.model, "content": answer.choices[0].message.content}).encode()
    else:
        _router()
        said = json.dumps({"litellm": version("litellm")}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(said))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said})


def serve(port: int) -> None:
    """Serve until told to stop."""
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=port, lifespan="off", access_log=False, log_level="warning")


if __name__ == "__main__":
    serve(int(sys.argv[1]))
