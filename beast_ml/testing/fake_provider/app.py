"""The fake provider's ASGI application."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import msgspec

from beast_ml.testing.fake_provider.answers import completion, events, fault_body, not_found, words
from beast_ml.testing.fake_provider.outcomes import Outage, Outcome, ProviderScript

__all__ = ["Bill", "Call", "FakeProviderApp"]

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_KEPT_CALLS: Final = 10_000
_HANG_S: Final = 3600.0
_JSON: Final = b"application/json"
_STREAM_HEADERS: Final = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


class Call(msgspec.Struct):
    """A call as the provider saw it.

    Parameters
    ----------
    model, site
        What was asked for, and under which of the provider's addresses.
    body
        The request, decoded.
    headers
        Of the request.
    client
        Address of the other end of the connection.
    outcome
        What it was meant to come to; None where the model is unknown.
    cancelled
        Whether the client hung up before the end.
    done
        Whether the whole answer was sent.
    number
        How many calls there were, with this one.
    """

    model: str
    site: str
    body: dict[str, Any]
    headers: dict[str, str]
    client: tuple[str, int] | None = None
    outcome: Outcome | None = None
    cancelled: bool = False
    done: bool = False
    number: int = 0


class Bill(msgspec.Struct, frozen=True):
    """A call that was answered whole, and so is paid for.

    Parameters
    ----------
    number, model
        Which call it was, and of which model.
    input_tokens, output_tokens
        What is paid for.
    """

    number: int
    model: str
    input_tokens: int
    output_tokens: int


class _GoneError(Exception):
    """The client hung up."""


class FakeProviderApp:
    """Serves chat completions as a script says.

    ``POST /v1/chat/completions``, ``GET /v1/models``; anything before ``/v1`` names a site, so that one server stands
    for several endpoints. ``POST /control/outages`` (an `Outage` without times, or with ``for_s``),
    ``DELETE /control/outages``, ``GET /control/calls`` (counts), ``GET /control/bills`` (every `Bill`).

    Parameters
    ----------
    script
        What it answers.
    clock
        Monotonic seconds.
    """

    def __init__(self, script: ProviderScript, clock: Callable[[], float] = time.monotonic) -> None:
        self.script = script
        self.calls: deque[Call] = deque(maxlen=_KEPT_CALLS)
        self.n_calls = 0
        self.bills: list[Bill] = []
        self._clock = clock
        self._started = clock()
        self._outages: list[Outage] = []
        self._n_of_model: dict[str, int] = {}

    def add_outage(self, outage: Outage, for_s: float | None = None) -> None:
        """Let calls fail from now on; for so many seconds, or until `heal`."""
        now = self._clock() - self._started
        self._outages.append(msgspec.structs.replace(outage, from_s=now, to_s=None if for_s is None else now + for_s))

    def heal(self) -> None:
        """End all outages that were added."""
        self._outages.clear()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} is served here")
        path, method = scope["path"], scope["method"]
        site, found, tail = path.partition("/v1/")
        if found and tail == "chat/completions" and method == "POST":
            await self._complete(scope, receive, send, site.strip("/"))
        elif found and tail == "models" and method == "GET":
            listed = [{"id": name, "object": "model", "created": 0, "owned_by": "fake"} for name in self._models()]
            await _answer(send, 200, msgspec.json.encode({"object": "list", "data": listed}))
        elif path.startswith("/control/"):
            await self._control(path, method, receive, send)
        else:
            await _answer(send, 404, not_found(path))

    def _models(self) -> list[str]:
        return sorted(name for name in self.script.outcomes if name != "*")

    async def _control(self, path: str, method: str, receive: Receive, send: Send) -> None:
        if path == "/control/outages" and method == "POST":
            told = msgspec.json.decode(await _body(receive))
            for_s = told.pop("for_s", None)
            self.add_outage(msgspec.convert(told, Outage), for_s)
        elif path == "/control/outages" and method == "DELETE":
            self.heal()
        elif path == "/control/bills":
            await _answer(send, 200, msgspec.json.encode(self.bills))
            return
        elif path != "/control/calls":
            await _answer(send, 404, not_found(path))
            return
        counts = {"calls": self.n_calls, "by_model": self._n_of_model, "outages": len(self._outages)}
        await _answer(send, 200, msgspec.json.encode(counts))

    async def _complete(self, scope: MutableMapping[str, Any], receive: Receive, send: Send, site: str) -> None:
        try:
            body = msgspec.json.decode(await _body(receive))
            model, messages = body["model"], body["messages"]
            prompt = "\n".join(str(message.get("content")) for message in messages)
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
            await _answer(send, *fault_body("invalid_request"))
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        call = Call(model, site, body, headers, scope.get("client"))
        self.calls.append(call)
        self.n_calls += 1
        call.number = self.n_calls
        call.outcome = outcome = self._outcome(call, prompt)
        if outcome is None:
            await _answer(send, 404, not_found(model))
            return
        n_input = sum(map(len, prompt.splitlines())) // 4 + 1
        waits = _Waits(receive, self.script.latency_scale)
        try:
            if outcome.fault == "none" or outcome.fault in ("drop", "stream_error", "garbage"):
                await self._answer(call, outcome, prompt, n_input, waits, send)
            else:
                await _refuse(outcome, waits, send)
            call.done = True
        except _GoneError:
            call.cancelled = True
        finally:
            waits.close()

    def _outcome(self, call: Call, prompt: str) -> Outcome | None:
        script, model = self.script, call.model
        n_earlier = self._n_of_model.get(model, 0)
        self._n_of_model[model] = n_earlier + 1
        if script.api_key is not None and call.headers.get("authorization") != f"Bearer {script.api_key}":
            return Outcome(fault="auth")
        outcome = script.outcome(model, n_earlier, prompt)
        at_s = self._clock() - self._started
        for outage in (*script.outages, *self._outages):
            if outcome is not None and outage.holds(model, call.site, at_s):
                return Outcome(fault=outage.fault, retry_after_s=outage.retry_after_s, latency_s=outage.latency_s)
        return outcome

    async def _answer(self, call: Call, outcome: Outcome, prompt: str, n_input: int, waits: _Waits, send: Send) -> None:
        body = call.body
        if self.script.echo:
            outcome = msgspec.structs.replace(outcome, text=f"call {call.number}: {prompt}")
        tokens, finish = _tokens(outcome), "stop"
        allowed = body.get("max_completion_tokens") or body.get("max_tokens")
        if allowed is not None and allowed < len(tokens):
            tokens, finish = tokens[:allowed], "length"
        if outcome.fault == "none":  # before it goes out: whoever stops listening pays, too
            self.bills.append(Bill(call.number, call.model, n_input, len(tokens)))
        if body.get("stream"):
            await self._stream(call, outcome, tokens, finish, n_input, waits, send)
            return
        await waits.wait(outcome.latency_s)
        if outcome.fault == "stream_error":
            await _answer(send, *fault_body("stream_error"))
            return
        whole = completion(call.number, call.model, tokens, finish, n_input)
        if outcome.fault == "garbage":
            whole = b"<html>not what you asked for</html>"
        await _answer(send, 200, whole, cut=outcome.fault == "drop")

    async def _stream(
        self,
        call: Call,
        outcome: Outcome,
        tokens: tuple[str, ...],
        finish: str,
        n_input: int,
        waits: _Waits,
        send: Send,
    ) -> None:
        asked = (call.body.get("stream_options") or {}).get("include_usage")
        parts = list(
            events(call.number, call.model, tokens, finish, n_input if asked else None, self.script.tokens_per_chunk)
        )
        if outcome.fault == "garbage":
            parts = [b"data: {no JSON\n\n"]
        elif outcome.fault in ("drop", "stream_error"):
            parts = parts[: 1 + -(-len(tokens) // self.script.tokens_per_chunk) // 2]
        ttft_s = outcome.latency_s / len(parts) if outcome.ttft_s is None else outcome.ttft_s
        step_s = max(0.0, outcome.latency_s - ttft_s) / max(1, len(parts) - 1)
        await waits.wait(ttft_s)
        await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
        for i, part in enumerate(parts):
            if i:
                await waits.wait(step_s)
            await send({"type": "http.response.body", "body": part, "more_body": True})
        if outcome.fault == "drop":
            return  # the server closes the connection of an answer that did not end
        if outcome.fault == "stream_error":
            _, error = fault_body("stream_error")
            await send({"type": "http.response.body", "body": b"data: %b\n\n" % error, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Waits:
    """Waits that end when the client hangs up."""

    def __init__(self, receive: Receive, scale: float) -> None:
        self._receive, self._scale = receive, scale
        self._gone: asyncio.Task[MutableMapping[str, Any]] | None = None

    async def wait(self, seconds: float) -> None:
        """Wait so long, or raise when there is nobody to wait for any more."""
        seconds *= self._scale
        if seconds <= 0:
            return
        if self._gone is None:
            self._gone = asyncio.ensure_future(self._receive())
        done, _ = await asyncio.wait((self._gone,), timeout=seconds)
        if done:
            raise _GoneError

    async def hang(self) -> None:
        """Wait until the client hangs up, whatever the scale."""
        self._scale = 1.0
        await self.wait(_HANG_S)

    def close(self) -> None:
        """Stop watching."""
        if self._gone is not None:
            self._gone.cancel()


def _tokens(outcome: Outcome) -> tuple[str, ...]:
    if outcome.text is None:
        return words(outcome.output_tokens)
    return tuple(part for part in outcome.text.replace(" ", "\0 ").split("\0") if part)


async def _refuse(outcome: Outcome, waits: _Waits, send: Send) -> None:
    if outcome.fault == "hang":
        await waits.hang()
        return
    await waits.wait(outcome.latency_s)
    status, body = fault_body(outcome.fault)
    after = outcome.retry_after_s
    await _answer(send, status, body, [] if after is None else [(b"retry-after", f"{after:g}".encode())])


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


async def _answer(
    send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]] | None = None, *, cut: bool = False
) -> None:
    fields = [(b"content-type", _JSON), (b"content-length", b"%d" % len(body)), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    if cut:  # an answer that does not end: the server closes the connection
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        return
    await send({"type": "http.response.body", "body": body})
