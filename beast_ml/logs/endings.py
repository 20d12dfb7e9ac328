"""What became of a request, told alike everywhere: answered, failed or refused.

Answered is the status ``ok``. Failed: it got no answer, by an error or a timeout. Refused: a rule wanted it so, such as
a budget, a rate limit or constraints that leave no model. What its sender gave up, and what nobody told the end of
(``cancelled``), is none of these. The error rate is the share of failed requests among those that ended: answered or
failed.
"""

from __future__ import annotations

from typing import Final

from beast_ml.logs.schema import Status

__all__ = ["ENDED", "FAILED", "REFUSED", "status_sql"]

FAILED: Final[tuple[Status, ...]] = ("error", "timeout")
"""Without an answer, though one was due."""

REFUSED: Final[tuple[Status, ...]] = ("rejected",)
"""Turned away by a rule."""

ENDED: Final[tuple[Status, ...]] = ("ok", *FAILED)
"""What an error rate is a share of."""


def status_sql(statuses: tuple[Status, ...]) -> str:
    """Return the condition that a row of the log, or a call, has one of these.

    Examples
    --------
    >>> status_sql(FAILED)
    "status IN ('error', 'timeout')"
    """
    return f"status IN ({', '.join(repr(status) for status in statuses)})"
