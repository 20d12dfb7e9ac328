"""What of a chat request shapes its answer, as the keys of the cache need it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from beast_ml.cache.request import CacheRequest
from beast_ml.errors import InputError
from beast_ml.experiments.assignment import Assignment
from beast_ml.serving.gateway.chat_request import ChatRequest

__all__ = ["cache_request_of"]

_decode = msgspec.json.Decoder().decode

_POLICY_FIELDS: Final = ("app", "min_quality", "max_cost_usd", "max_latency_s")


def cache_request_of(chat: ChatRequest, raw: bytes, tenant: str, drawn: Assignment | None) -> CacheRequest:
    """Return the request of a chat body.

    Who chooses the model is part of it: the model's name, or the constraints that the router heeds. So is the variant
    that an experiment drew: its answers are another policy's, and each variant must pay for its own, or the one that
    came second would look cheaper. The version of a policy is not: whoever wants the answers of an old one gone
    invalidates them by it.

    Parameters
    ----------
    chat, raw
        The request, and the body that it was decoded from.
    tenant
        Whose it is.
    drawn
        What an experiment drew; None where it takes part in none, or names its model.

    Raises
    ------
    InputError
        If the body is not what keys can be made of.
    """
    options = chat.options
    policy: dict[str, Any] = {"model": chat.model}
    for name in _POLICY_FIELDS:
        if (value := getattr(options, name)) is not None:
            policy[name] = value
    if options.candidates is not None:
        policy["candidates"] = sorted(options.candidates)
    if drawn is not None and drawn.experiment_id is not None:
        policy["variant"] = [drawn.experiment_id, drawn.variant]
    body = _decode(raw)
    if not isinstance(body, dict):  # never: it was decoded as a chat request before
        raise InputError("the body is no JSON object: send one")
    return CacheRequest.of_chat(tenant, body, policy=policy, user_id=options.user_id, context=options.context)
