"""What drift means to the loop: which outcomes are no longer true, and whether to learn again at once."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

from beast_ml.operations.drift.advice import Finding

__all__ = ["changed_since", "learn_because", "stale_since"]

_CHANGED: Final = ("provider", "better")
_LEARNABLE: Final = (*_CHANGED, "predictions")
_OF_OUTCOMES: Final = ("quality", "answer length")


def learn_because(findings: Collection[Finding], since: datetime | None) -> tuple[str, ...]:
    """Return what calls for learning again: outcomes that drifted, or predictions that are off, told after a time.

    Requests that changed do not: as long as outcomes agree with what is predicted, the router knows them. Nor does a
    quality that fell for most models at once: what is wrong there are the labels.
    """
    return _told(findings, _LEARNABLE, since)


def changed_since(findings: Collection[Finding], since: datetime) -> tuple[str, ...]:
    """Return which models' outcomes are other ones, by alarms raised after a time: what was learnt before is untrue."""
    return _told(findings, _CHANGED, since)


def stale_since(findings: Collection[Finding]) -> dict[str, datetime]:
    """Return, for each model whose outcomes drifted, from when on they are what they are now.

    The end of the interval of the start is taken, for of what lies within it nobody knows; alarms whose intervals meet
    that of the last one speak of the same change, and the narrowest tells most. Predictions that are off do not make
    outcomes untrue.
    """
    stale = {}
    for finding in findings:
        dated = [
            (alarm.raised_at, alarm.change)
            for alarm in finding.alarms
            if alarm.change is not None and alarm.key.signal in _OF_OUTCOMES
        ]
        if finding.cause in _CHANGED and dated:
            _, last = max(dated, key=lambda each: each[0])
            same = [each for _, each in dated if each.latest_s >= last.earliest_s and each.earliest_s <= last.latest_s]
            narrowest = min(same, key=lambda each: each.latest_s - each.earliest_s)
            stale[finding.model] = datetime.fromtimestamp(narrowest.latest_s, UTC)
    return stale


def _told(findings: Collection[Finding], causes: Collection[str], since: datetime | None) -> tuple[str, ...]:
    return tuple(
        finding.sentence
        for finding in findings
        if finding.cause in causes
        and any(
            alarm.key.signal in _OF_OUTCOMES or finding.cause not in _CHANGED
            for alarm in finding.alarms
            if since is None or alarm.raised_at > since
        )
    )
