"""What a call may cost at most, and what it did cost."""

from __future__ import annotations

from typing import Final

import msgspec

from beast_ml.domain import Price
from beast_ml.domain.endpoint import ModelLimits
from beast_ml.domain.money import nano_usd
from beast_ml.serving.gateway.chat_request import ChatRequest
from beast_ml.serving.gateway.contract import CallRecord, Plan

__all__ = ["Usage", "cost_usd", "estimated_usage", "expected_output_tokens", "most_output_tokens", "upper_nano"]

_BYTES_PER_TOKEN: Final = 4.0
_IMAGE_TOKENS: Final = 50_000
"""More than is billed for one picture, however large: small models count some 48,000 tokens, others a few thousand."""
_OVERHEAD_TOKENS: Final = 64
_TOOLS_TOKENS: Final = 1024
"""Of what a provider tells its model about tools at all."""
_UNSAID_OUTPUT_TOKENS: Final = 4096


class Usage(msgspec.Struct, frozen=True):
    """Tokens of a call, as the provider counts them.

    Parameters
    ----------
    prompt_tokens, completion_tokens
        As OpenAI counts them.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0


def most_output_tokens(chat: ChatRequest, limits: ModelLimits | None) -> int:
    """Return how many tokens each choice may have, before any budget: the client's limit, the model's, or ours."""
    known = [] if chat.max_output_tokens is None else [chat.max_output_tokens]
    if limits is not None and limits.max_output_tokens is not None:
        known.append(limits.max_output_tokens)
    most = min(known, default=_UNSAID_OUTPUT_TOKENS)
    if chat.max_output_tokens is None and limits is not None and limits.context_tokens is not None:
        most = min(most, limits.context_tokens - estimated_usage(chat, 0).prompt_tokens)
    return max(1, most)


def upper_nano(price: Price, chat: ChatRequest, max_output: int, timeout_s: float) -> int:
    """Return nano-dollars that a call cannot exceed, if each choice has at most ``max_output`` tokens.

    No tokeniser makes more tokens of a text than it has bytes, so the body's bytes bound the input; each picture has
    a bound of its own. Of what `unbounded` names there is none.
    """
    n_input = chat.n_bytes + _OVERHEAD_TOKENS + chat.n_images * _IMAGE_TOKENS
    if "tools" in chat.needs or "functions" in chat.fields:
        n_input += _TOOLS_TOKENS
    return nano_usd(price.cost_usd(n_input, max_output * chat.n_choices, timeout_s if price.usd_per_s else 0.0))


def cost_usd(price: Price, usage: Usage, latency_s: float) -> float:
    """Return what a call has cost."""
    return price.cost_usd(usage.prompt_tokens, usage.completion_tokens, latency_s)


def estimated_usage(chat: ChatRequest, n_output_characters: int) -> Usage:
    """Return about how many tokens a call had that nobody counted: four characters each."""
    if not n_output_characters:
        return Usage(round(chat.n_bytes / _BYTES_PER_TOKEN), 0)
    return Usage(round(chat.n_bytes / _BYTES_PER_TOKEN), max(1, round(n_output_characters / _BYTES_PER_TOKEN)))


def expected_output_tokens(plan: Plan, record: CallRecord) -> float | None:
    """Return how many tokens of an answer the predicted cost is of: what is left of it after the input, by the token.

    None where that is not known: another model than the chosen one was called last, there is no price or no predicted
    cost, time is billed, output costs nothing, or the input alone costs more than was predicted.
    """
    model = record.attempts[-1].model if record.attempts else None
    price = plan.prices.get(plan.models[0])
    if model != plan.models[0] or price is None or plan.predicted_cost_usd is None or record.input_tokens is None:
        return None
    token_usd = price.output_usd_per_mtok / 1e6  # without the fee for the request, which the input has paid below
    expected_usd = plan.predicted_cost_usd - price.cost_usd(record.input_tokens, 0, 0.0)
    return expected_usd / token_usd if token_usd > 0 and expected_usd > 0 and not price.usd_per_s else None
