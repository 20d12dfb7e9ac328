"""What a chat request asks for, and what of it is sent on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Raw

from beast_ml.errors import InputError
from beast_ml.serving.payloads import Amount, Message, Name, Share
from beast_ml.serving.reserved_context import check_context

__all__ = ["ROUTED", "ChatRequest", "RoutingOptions", "decode_chat", "outgoing_body", "unbounded"]

Need = Literal["tools", "vision", "json"]

ROUTED: Final = "beast"
"""The model name that lets the router choose."""

_OWN_FIELDS: Final = ("beast",)
_IMAGE_PARTS: Final = ("image_url", "input_image")
_TEXT_PARTS: Final = ("text", "input_text", "output_text", "refusal")
_BOUNDED_FIELDS: Final = frozenset(
    [
        "model",
        "messages",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "n",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "functions",
        "function_call",
        "response_format",
        "user",
        "beast",
        "temperature",
        "top_p",
        "top_k",
        "top_a",
        "min_p",
        "typical_p",
        "stop",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "length_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "metadata",
        "store",
        "reasoning",
        "reasoning_effort",
        "thinking",
        "enable_thinking",
        "verbosity",
        "safety_identifier",
        "prompt_cache_key",
        "min_tokens",
        "ignore_eos",
        "stop_token_ids",
        "guided_json",
        "guided_regex",
        "guided_choice",
        "guided_grammar",
        "structured_outputs",
        "skip_special_tokens",
        "chat_template_kwargs",
        "safe_prompt",
        "random_seed",
    ]
)
_BOUNDED_VALUES: Final[Mapping[str, tuple[Any, ...]]] = {
    "modalities": (["text"], []),
    "service_tier": ("auto", "default", "flex"),
}
_BOUNDED_TOOLS: Final = ("function", "custom")
_BOUNDED_TURN: Final = frozenset(
    [
        "role",
        "content",
        "name",
        "tool_calls",
        "tool_call_id",
        "function_call",
        "refusal",
        "reasoning",
        "reasoning_content",
        "prefix",
    ]
)
_BOUNDED_PART: Final = frozenset(("type", "text", "refusal", "image_url", "detail", "file_id"))

_Tokens = Annotated[int, Meta(ge=1, le=10_000_000)]


class RoutingOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a client may tell the router: the field ``beast`` of the body, or ``extra_body`` of OpenAI's client.

    The fields are those of ``/v1/route``.

    Parameters
    ----------
    context, user_id, session_id, app
        As in `beast_ml.serving.payloads.RouteRequest`.
    min_quality, max_cost_usd, max_latency_s, candidates
        Likewise.
    """

    context: Annotated[dict[Name, Annotated[str, Meta(max_length=1024)]], Meta(max_length=64)] = {}
    user_id: Name | None = None
    session_id: Name | None = None
    app: Name | None = None
    min_quality: Share | None = None
    max_cost_usd: Amount | None = None
    max_latency_s: Amount | None = None
    candidates: Annotated[list[Name], Meta(min_length=1, max_length=1000)] | None = None

    def __post_init__(self) -> None:
        if self.context:
            check_context(self.context)


class _StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool | None = None


class _Format(msgspec.Struct, frozen=True):
    type: str | None = None


class _Fields(msgspec.Struct, frozen=True):
    """The fields of a body that the gateway reads; it sends all the others on unread."""

    model: Name
    messages: Annotated[list[Message], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    tools: list[Raw] | None = None
    response_format: _Format | None = None
    user: Annotated[str, Meta(max_length=256)] | None = None
    beast: RoutingOptions | None = None


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A chat request.

    Parameters
    ----------
    model
        `ROUTED`, or the model a client insists on.
    messages, options
        What is routed, and what it is routed by.
    stream, wants_usage
        How the client wants the answer.
    max_output_tokens
        Of each choice; None: as many as the model likes.
    n_choices
        Answers it asks for.
    needs
        What a model must be able to do: ``tools``, ``vision``, ``json``.
    n_bytes
        Of the body: no text has more tokens than bytes.
    n_images
        Pictures among the messages.
    fields
        The body, by field, undecoded.
    """

    model: str
    messages: list[Message]
    options: RoutingOptions
    stream: bool
    wants_usage: bool
    max_output_tokens: int | None
    n_choices: int
    needs: frozenset[Need]
    n_bytes: int
    n_images: int
    fields: Mapping[str, Raw]

    @property
    def allowed_models(self) -> Sequence[str] | None:
        """The models that may see it; None: its client has not said, so all that the operator has set up."""
        return self.options.candidates if self.model == ROUTED else (self.model,)


_decode_fields = msgspec.json.Decoder(_Fields).decode
_decode_raw = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode


def decode_chat(body: bytes) -> ChatRequest:
    """Return the request of a body.

    Raises
    ------
    msgspec.DecodeError
        If it is no JSON, or a field that matters here is wrong; the others are the provider's to check.
    InputError
        If it asks for what cannot be.
    """
    fields = _decode_fields(body)
    options = fields.beast or RoutingOptions()
    if options.user_id is None and fields.user:
        options = msgspec.structs.replace(options, user_id=fields.user)
    if fields.max_tokens and fields.max_completion_tokens and fields.max_tokens != fields.max_completion_tokens:
        raise InputError(
            f"`max_tokens` == {fields.max_tokens} and `max_completion_tokens` == {fields.max_completion_tokens}: "
            "give one of them"
        )
    n_images = sum(1 for part in _parts(fields.messages) if part.get("type") in _IMAGE_PARTS)
    needs: set[Need] = set()
    if fields.tools:
        needs.add("tools")
    if n_images:
        needs.add("vision")
    if fields.response_format is not None and fields.response_format.type not in (None, "text"):
        needs.add("json")
    return ChatRequest(
        model=fields.model,
        messages=fields.messages,
        options=options,
        stream=bool(fields.stream),
        wants_usage=fields.stream_options is not None and bool(fields.stream_options.include_usage),
        max_output_tokens=fields.max_completion_tokens or fields.max_tokens,
        n_choices=fields.n or 1,
        needs=frozenset(needs),
        n_bytes=len(body),
        n_images=n_images,
        fields=_decode_raw(body),
    )


def outgoing_body(chat: ChatRequest, provider_model: str, cap: int | None, cap_field: str) -> bytes:
    """Return the body for a provider.

    Parameters
    ----------
    chat
        The request.
    provider_model
        What the model is called there.
    cap
        Most tokens of each choice; None: as the client said.
    cap_field
        What the provider calls that number, where the client did not say it.
    """
    fields: dict[str, Any] = {name: value for name, value in chat.fields.items() if name not in _OWN_FIELDS}
    fields["model"] = provider_model
    if chat.stream:
        told = msgspec.json.decode(fields["stream_options"]) if "stream_options" in fields else None
        fields["stream_options"] = {**(told or {}), "include_usage": True}  # else nobody says what a stream has cost
    if cap is not None:
        said = [name for name in ("max_tokens", "max_completion_tokens") if fields.get(name) not in (None, _NULL)]
        for name in said or [cap_field]:
            fields[name] = cap
    return _encode(fields)


_NULL: Final = Raw(b"null")


def unbounded(chat: ChatRequest) -> list[str]:
    """Return what of a request may cost more than its tokens say, or more tokens than it has bytes.

    What is not known to be harmless is named, too: a provider may bill it.
    """
    fields = {name: value for name, value in chat.fields.items() if value != _NULL}
    found = [f"`{name}`" for name in fields if name not in _BOUNDED_FIELDS and name not in _BOUNDED_VALUES]
    for name, allowed in _BOUNDED_VALUES.items():
        if name in fields and (value := msgspec.json.decode(fields[name])) not in allowed:
            found.append(f"`{name}` == {str(value)[:64]!r}")
    for tool in msgspec.json.decode(fields["tools"]) if "tools" in fields else ():
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind not in _BOUNDED_TOOLS:
            found.append(f"a tool of type {str(kind)[:64]!r}")
    for message in msgspec.json.decode(fields["messages"], type=list[dict[str, Any]]):
        found += [
            f"`{name}` of a message" for name in message if message[name] is not None and name not in _BOUNDED_TURN
        ]
    for part in _parts(chat.messages):
        kind = part.get("type")
        if kind not in _IMAGE_PARTS and kind not in _TEXT_PARTS:
            found.append(f"a part of type {str(kind)[:64]!r}")
        found += [f"`{name}` of a part" for name in part if part[name] is not None and name not in _BOUNDED_PART]
    return list(dict.fromkeys(found))


def _parts(messages: list[Message]) -> Iterator[dict[str, Any]]:
    for message in messages:
        if isinstance(message.content, list):
            yield from message.content
