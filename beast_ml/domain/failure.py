"""What can go wrong with a request, in the words that logs, metrics and errors share."""

from __future__ import annotations

from typing import Final, Literal, get_args

__all__ = ["ERROR_KINDS", "RETRIED_ELSEWHERE", "ErrorKind", "known_kind"]

ErrorKind = Literal[
    "provider",  # the provider answered with an error of its own, or not at all
    "timeout",  # no answer, or no next token, in time
    "rate_limit",  # the provider asks to slow down
    "context_length",  # the prompt is longer than the model reads
    "content_filter",  # the provider refuses the content
    "auth",  # the provider refuses our key
    "invalid_request",  # the request itself is wrong, for any model
    "budget",  # a budget's hard limit
    "ledger",  # what budgets have left, or what the request may cost, cannot be told
    "no_candidate",  # constraints, health or capabilities leave nobody
    "unreported",  # a decision whose outcome nobody told
    "internal",  # ours
]

ERROR_KINDS: Final[tuple[ErrorKind, ...]] = get_args(ErrorKind)
"""All of `ErrorKind`."""

RETRIED_ELSEWHERE: Final[frozenset[ErrorKind]] = frozenset(
    {"provider", "timeout", "rate_limit", "context_length", "content_filter", "auth"}
)
"""Failures of one model that another may not share: the gateway falls back."""

_ALIASES: Final = {
    "server_error": "provider",
    "connection": "provider",
    "rate_limited": "rate_limit",
    "rate_limit_exceeded": "rate_limit",
    "context_length_exceeded": "context_length",
    "authentication": "auth",
}


def known_kind(kind: str) -> str:
    """Return our word for a kind of failure that a log from elsewhere may call otherwise; the kind where we have none.

    Examples
    --------
    >>> known_kind("rate_limited"), known_kind("timeout")
    ('rate_limit', 'timeout')
    """
    return _ALIASES.get(kind, kind)
