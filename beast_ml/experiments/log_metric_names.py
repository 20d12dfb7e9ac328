"""The metrics that a log has of every experiment."""

from __future__ import annotations

from typing import Final, Literal, get_args

__all__ = ["LOG_METRICS", "LOWER_IS_BETTER", "LogMetric"]

LogMetric = Literal["quality", "cost", "latency", "errors", "feedback"]
"""Metrics that a log can be analysed by."""

LOG_METRICS: Final[tuple[LogMetric, ...]] = get_args(LogMetric)
"""All of `LogMetric`."""

LOWER_IS_BETTER: Final = frozenset({"cost", "cost_usd", "latency", "latency_s", "errors", "error_rate"})
"""Names of metrics of which less is better."""
