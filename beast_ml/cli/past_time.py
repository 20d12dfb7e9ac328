"""Options that name a time in the past: a date, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from beast_ml.errors import InputError

__all__ = ["past_time"]

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(m|h|d|w)")
_SECONDS: Final = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def past_time(option: str, text: str) -> datetime:
    """Return the time that is meant; one without a zone is UTC.

    Raises
    ------
    InputError
        If it is none.
    """
    ago = _DURATION.fullmatch(text.strip())
    try:
        if ago:
            return datetime.now(UTC) - timedelta(seconds=float(ago[1]) * _SECONDS[ago[2]])
        at = datetime.fromisoformat(text.strip())
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"`{option}` == {text!r}, must be a time such as 2026-11-25T08:00Z, or how long ago, such as 90m, 24h or 7d"
        ) from error
