"""What the library tells operators: structured events on the standard logger ``beast_ml``, silent until asked for."""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

if (_rich := sys.modules.get("rich")) is None:
    sys.modules["rich"] = None  # type: ignore[assignment]  # for structlog's console, not ours: a tenth of a server's start
import structlog

if _rich is None:
    del sys.modules["rich"]

__all__ = ["events", "show_events"]

_LOGGER: Final = logging.getLogger("beast_ml")

events: Final[Any] = structlog.wrap_logger(
    _LOGGER,
    wrapper_class=structlog.stdlib.BoundLogger,
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.JSONRenderer(),
    ],
)
"""Say what happened as ``events.info("promotion.passed", version=3)``; one JSON object a line."""


def show_events() -> None:
    """Write all events to standard error, where they stay out of what is piped."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    _LOGGER.handlers = [handler]
    _LOGGER.setLevel(logging.INFO)
    _LOGGER.propagate = False
