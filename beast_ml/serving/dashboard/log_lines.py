"""The lines of the request log, as far as the dashboard shows them."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

import msgspec

__all__ = ["AttemptLine", "FeedbackLine", "LogLine", "OutcomeLine", "RequestLine", "SignalLine", "decode_lines"]


class AttemptLine(msgspec.Struct, frozen=True):
    """How one call for a request went: its ``status``, and its ``error_kind`` where it failed."""

    status: str
    error_kind: str | None = None


class RequestLine(msgspec.Struct, frozen=True, tag_field="table", tag="requests"):
    """A request, as `beast_ml.logs.schema` describes it.

    Parameters
    ----------
    request_id, received_at, tenant_id, prompt, input_tokens, request_kind
        What was asked, by whom and when; None where it is withheld or unknown.
    chosen_model, predicted_quality, predicted_cost_usd, decision_us, experiment_id, variant
        The decision, and what was expected of it.
    cache_result, cache_tier
        What the cache said.
    status, error_kind, served_model, latency_s, output_tokens, cost_usd
        What became of it.
    attempts
        Calls for it, in their order; those that went well may be missing.
    quality, feedback_at
        What somebody made of the answer, and when.
    """

    request_id: str
    received_at: datetime
    tenant_id: str
    status: str
    prompt: str | None = None
    input_tokens: int | None = None
    chosen_model: str | None = None
    request_kind: str | None = None
    experiment_id: str | None = None
    variant: str | None = None
    predicted_quality: float | None = None
    predicted_cost_usd: float | None = None
    decision_us: float | None = None
    cache_result: str | None = None
    cache_tier: str | None = None
    error_kind: str | None = None
    served_model: str | None = None
    latency_s: float | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    quality: float | None = None
    feedback_at: datetime | None = None
    attempts: tuple[AttemptLine, ...] = ()

    @property
    def failed_first(self) -> str | None:
        """Kind of the first call that failed; None where none did.

        Examples
        --------
        >>> calls = (AttemptLine("timeout", "timeout"), AttemptLine("ok"))
        >>> RequestLine("r", datetime(2026, 1, 1), "acme", "ok", attempts=calls).failed_first
        'timeout'
        """
        failed = (each for each in self.attempts if each.status not in ("ok", "cancelled"))
        return next((each.error_kind or each.status for each in failed), None)


class OutcomeLine(msgspec.Struct, frozen=True, tag_field="table", tag="outcomes"):
    """What became known of a request later.

    Parameters
    ----------
    request_id
        The request.
    observed_at
        When it became known.
    status, error_kind, served_model, latency_s, output_tokens, cost_usd
        As of a request; None: nothing new.
    """

    request_id: str
    observed_at: datetime
    status: str | None = None
    error_kind: str | None = None
    served_model: str | None = None
    latency_s: float | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None


class FeedbackLine(msgspec.Struct, frozen=True, tag_field="table", tag="feedback"):
    """The ``quality`` of the answer to the request ``request_id``, told at ``feedback_at``."""

    request_id: str
    feedback_at: datetime
    quality: float


class SignalLine(msgspec.Struct, frozen=True, tag_field="table", tag="signals"):
    """A weak sign of how good the answer to the request ``request_id`` was; not shown."""

    request_id: str


LogLine: TypeAlias = RequestLine | OutcomeLine | FeedbackLine | SignalLine
"""Any line of the log."""

_DECODER = msgspec.json.Decoder(LogLine)


def decode_lines(lines: list[bytes]) -> tuple[list[LogLine], int]:
    """Return the lines that are rows of the log, and how many are not (compaction says why)."""
    rows: list[LogLine] = []
    n_bad = 0
    for line in lines:
        try:
            rows.append(_DECODER.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            n_bad += 1
    return rows, n_bad
