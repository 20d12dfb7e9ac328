"""What a fake provider answers: outcomes per model, and outages by schedule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, Final, Literal, get_args

import msgspec

__all__ = ["FAULTS", "Fault", "Outage", "Outcome", "ProviderScript", "recorded_outcomes"]

Fault = Literal[
    "none",
    "invalid_request",  # 400
    "context_length",  # 400, with the code that says so
    "content_filter",  # 400, with the code that says so
    "auth",  # 401
    "request_timeout",  # 408
    "rate_limit",  # 429, with Retry-After where the outcome has one
    "server_error",  # 500
    "unavailable",  # 503
    "hang",  # no byte is ever sent
    "drop",  # the connection ends in the middle of the answer
    "stream_error",  # an error event in the middle of a stream; 500 where nothing is streamed
    "garbage",  # 200, and no JSON
]

FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)
"""All of `Fault`."""

_FAULT_OF_ERROR: Final[dict[str, Fault]] = {
    "provider": "server_error",
    "timeout": "hang",
    "rate_limit": "rate_limit",
    "context_length": "context_length",
    "content_filter": "content_filter",
    "auth": "auth",
    "invalid_request": "invalid_request",
}


class Outcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one call ends.

    Parameters
    ----------
    output_tokens
        Of the answer; fewer where the request allows fewer.
    latency_s, ttft_s
        Seconds to the whole answer, and to its first token.
    fault
        What goes wrong.
    retry_after_s
        What a refusal asks for.
    text
        The answer; words without a meaning where nothing is given.
    """

    output_tokens: int = 16
    latency_s: float = 0.0
    ttft_s: float | None = None
    fault: Fault = "none"
    retry_after_s: float | None = None
    text: str | None = None


class Outage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A time in which calls fail.

    Parameters
    ----------
    fault
        How.
    model, site
        Which calls; ``*``: all of them.
    from_s, to_s
        Seconds since the provider started; None: it does not end.
    retry_after_s
        What refusals ask for.
    latency_s
        Seconds to the failure.
    """

    fault: Fault = "unavailable"
    model: str = "*"
    site: str = "*"
    from_s: float = 0.0
    to_s: float | None = None
    retry_after_s: float | None = None
    latency_s: float = 0.0

    def holds(self, model: str, site: str, at_s: float) -> bool:
        """Return whether a call at that time falls into it."""
        in_time = self.from_s <= at_s and (self.to_s is None or at_s < self.to_s)
        return in_time and self.model in ("*", model) and self.site in ("*", site)


class ProviderScript(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything a fake provider is told at its start.

    Parameters
    ----------
    outcomes
        Model -> what its calls come to; ``*``: any other model. A model without outcomes is unknown (404).
    order
        ``in_turn``: outcomes come one after another, over and over; ``by_prompt``: the same prompt meets the same
        outcome, whatever else is going on.
    seed
        Of ``by_prompt``.
    latency_scale
        Times of outcomes are multiplied by it; 0: no waiting.
    outages
        By schedule.
    api_key
        Calls without it are refused; None: any will do.
    tokens_per_chunk
        Of a stream.
    echo
        Answer with the number of the call and the prompt's own words, so that an answer to another prompt shows.
    """

    outcomes: dict[str, tuple[Outcome, ...]] = msgspec.field(default_factory=lambda: {"*": (Outcome(),)})
    order: Literal["in_turn", "by_prompt"] = "in_turn"
    seed: int = 0
    latency_scale: float = 1.0
    outages: tuple[Outage, ...] = ()
    api_key: str | None = None
    tokens_per_chunk: int = 4
    echo: bool = False

    def outcome(self, model: str, n_earlier: int, prompt: str) -> Outcome | None:
        """Return what a call comes to; None where the model is unknown."""
        outcomes = self.outcomes.get(model) or self.outcomes.get("*")
        if not outcomes:
            return None
        if len(outcomes) == 1:
            return outcomes[0]
        if self.order == "in_turn":
            return outcomes[n_earlier % len(outcomes)]
        drawn = blake2b(f"{self.seed}\0{model}\0{prompt}".encode(), digest_size=8).digest()
        return outcomes[int.from_bytes(drawn, "big") % len(outcomes)]


def recorded_outcomes(rows: Iterable[Mapping[str, Any]]) -> dict[str, tuple[Outcome, ...]]:
    """Return the outcomes that were recorded, by model.

    Parameters
    ----------
    rows
        Of an outcome table or of a request log, as mappings by column; a log's failed ``attempts`` count as calls of
        their models.
    """
    found: dict[str, list[Outcome]] = {}
    for row in rows:
        for attempt in row.get("attempts") or ():
            if attempt.get("status") not in (None, "ok"):
                found.setdefault(attempt["model"], []).append(_recorded(attempt))
        model = row.get("served_model") or row.get("model")
        if model:
            found.setdefault(model, []).append(_recorded(row))
    return {model: tuple(outcomes) for model, outcomes in found.items()}


def _recorded(row: Mapping[str, Any]) -> Outcome:
    failed = row.get("status") not in (None, "ok")
    tokens = _number(row.get("output_tokens"))
    return Outcome(
        output_tokens=16 if tokens is None else max(1, round(tokens)),
        latency_s=_number(row.get("latency_s")) or 0.0,
        ttft_s=_number(row.get("ttft_s")),
        fault=_FAULT_OF_ERROR.get(row.get("error_kind") or "provider", "server_error") if failed else "none",
    )


def _number(value: Any) -> float | None:
    return None if value is None or value != value else float(value)  # a frame writes NaN for nothing
