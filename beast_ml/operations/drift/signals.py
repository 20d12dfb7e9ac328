"""What is watched in a row of the log: by model, by kind of request, by policy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from beast_ml.operations.drift.amounts import AmountDetector
from beast_ml.operations.drift.calibration import CalibrationDetector
from beast_ml.operations.drift.detector import Detector
from beast_ml.operations.drift.mix import MixDetector

__all__ = ["DETECTORS", "LOG_COLUMNS", "DriftRow", "Signal", "StreamKey", "new_detector", "signals_of"]

Signal = Literal["request mix", "prompt length", "predicted quality", "calibration", "quality", "answer length"]
"""What is watched."""

LOG_COLUMNS: Final = (
    "received_at",
    "chosen_model",
    "served_model",
    "request_kind",
    "context",
    "policy_version",
    "input_tokens",
    "output_tokens",
    "predicted_quality",
    "quality",
)
"""Columns of the log that it takes."""

DETECTORS: Final = {each.name: each for each in (MixDetector, AmountDetector, CalibrationDetector)}
"""By the name that a state file calls them."""

_MOST_TOKENS: Final = 1_000_000


class StreamKey(NamedTuple):
    """What a stream is of; empty where it is of all.

    Parameters
    ----------
    signal
        What is watched.
    policy, model, kind
        Of whose requests; None: of all.
    """

    signal: Signal
    policy: str
    model: str
    kind: str


@dataclass(frozen=True, slots=True)
class DriftRow:
    """What is read of a request; None where it is not known.

    Parameters
    ----------
    at
        When it was received; aware.
    model
        The chosen model, where that is the one that answered.
    kind
        Of the request: as the log says, else its task, else "".
    policy
        Version of what decided.
    input_tokens, output_tokens
        As logged.
    predicted_quality, quality
        What was expected of the model that answered, and what it was.
    """

    at: datetime
    model: str | None = None
    kind: str = ""
    policy: str = ""
    input_tokens: float | None = None
    output_tokens: float | None = None
    predicted_quality: float | None = None
    quality: float | None = None

    @classmethod
    def from_log(cls, row: Mapping[str, Any]) -> DriftRow:
        """Return what counts in a row with `LOG_COLUMNS`."""
        context = dict(row["context"] or ())
        answered = row["served_model"] is not None and row["served_model"] == row["chosen_model"]
        return cls(
            at=row["received_at"],
            model=row["served_model"] if answered else None,
            kind=row["request_kind"] or context.get("task") or "",
            policy=row["policy_version"] or "",
            input_tokens=_number(row["input_tokens"]),
            output_tokens=_number(row["output_tokens"]),
            predicted_quality=_number(row["predicted_quality"]),
            quality=_number(row["quality"]),
        )


def signals_of(row: DriftRow) -> Iterator[tuple[StreamKey, float | str, float | None]]:
    """Yield the streams that a row is in, with its value there and what was predicted of it.

    Another policy sends other requests to a model, so streams of a model are of one policy.
    """
    kind, policy, model = row.kind, row.policy, row.model
    if kind:
        yield StreamKey("request mix", "", "", ""), kind, None
    if row.input_tokens is not None:
        yield StreamKey("prompt length", "", "", kind), _logarithm(row.input_tokens), None
    if model is None:
        return
    if row.predicted_quality is not None:
        yield StreamKey("predicted quality", policy, model, kind), row.predicted_quality, None
    if row.output_tokens is not None:
        yield StreamKey("answer length", policy, model, kind), _logarithm(row.output_tokens), None
    if row.quality is not None:
        for part in ("", kind) if kind else ("",):
            yield StreamKey("quality", policy, model, part), row.quality, row.predicted_quality
            if row.predicted_quality is not None:
                yield StreamKey("calibration", policy, model, part), row.quality, row.predicted_quality


def new_detector(signal: Signal, tolerance: float) -> Detector:
    """Return what watches a signal."""
    match signal:
        case "request mix":
            return MixDetector()
        case "calibration":
            return CalibrationDetector(tolerance)
        case "quality":
            return AmountDetector(-1.0, 1.0)  # what was predicted is taken off
        case "predicted quality":
            return AmountDetector(0.0, 1.0)
        case "prompt length" | "answer length":
            return AmountDetector(0.0, _logarithm(_MOST_TOKENS))


def _logarithm(tokens: float) -> float:
    return math.log1p(max(tokens, 0.0))


def _number(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
