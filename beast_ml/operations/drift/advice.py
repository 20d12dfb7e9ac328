"""From alarms to findings: what drifted together, what that says, and what to do about it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from beast_ml.operations.drift.monitor import Alarm

__all__ = ["Cause", "Finding", "find_causes"]

Cause = Literal["labels", "provider", "better", "predictions", "scores", "traffic"]
"""What may lie behind a drift."""

_OF_OUTCOMES: Final = ("quality", "answer length")
_OF_QUALITY: Final = ("quality", "calibration")
_MOST_MODELS: Final = 0.5
_FEW_MODELS: Final = 3


@dataclass(frozen=True)
class Finding:
    """Alarms that say one thing.

    Parameters
    ----------
    cause
        What it looks like: ``labels`` changed for most models at once, a ``provider`` changed a model for the worse,
        or for the ``better``, ``predictions`` are off though outcomes are what they were, the ``scores`` that are
        predicted have moved, or the ``traffic`` has.
    model
        Whose; empty where it is of no one model.
    alarms
        The alarms, the earliest first.
    sentence
        What drifted.
    advice
        What to do.
    """

    cause: Cause
    model: str
    alarms: tuple[Alarm, ...]
    sentence: str
    advice: str


def find_causes(alarms: Collection[Alarm], models: Collection[str]) -> tuple[Finding, ...]:
    """Return what the alarms say, worst first.

    Parameters
    ----------
    models
        All models that outcomes are known of: drift of most of them at once is none of a single provider.
    """
    by_model: dict[str, list[Alarm]] = {}
    for alarm in sorted(alarms, key=lambda each: each.raised_at):
        by_model.setdefault(alarm.key.model, []).append(alarm)
    traffic = by_model.pop("", [])
    worse = [
        model
        for model, found in by_model.items()
        if _shift(found) < 0 and any(each.key.signal == "quality" for each in found)
    ]
    together = len(models) >= _FEW_MODELS and len(worse) > _MOST_MODELS * len(models)
    found = [_labels([each for model in worse for each in by_model[model]], len(worse))] if together else []
    for model, each in by_model.items():
        if not (together and model in worse):
            found.append(_of_model(model, each))
    if traffic:
        found.append(_traffic(traffic))
    order: tuple[Cause, ...] = ("labels", "provider", "better", "predictions", "scores", "traffic")
    return tuple(sorted(found, key=lambda each: order.index(each.cause)))


def _shift(alarms: Sequence[Alarm]) -> float:
    """Return by how much quality moved: of the alarm with the most rows behind it; 0 where none is of quality."""
    told = [alarm.change for alarm in alarms if alarm.key.signal in _OF_QUALITY and alarm.change is not None]
    if not told:
        return 0.0
    change = max(told, key=lambda each: each.n_before + each.n_after)
    return change.after - change.before


def _of_model(model: str, alarms: list[Alarm]) -> Finding:
    shift, signals = _shift(alarms), {alarm.key.signal for alarm in alarms}
    kinds = sorted({alarm.key.kind for alarm in alarms if alarm.key.kind})
    where = "" if not kinds or any(not a.key.kind for a in alarms) else f" on {', '.join(kinds)}"
    if shift and not signals & set(_OF_OUTCOMES):
        way = "worse" if shift < 0 else "better"
        return Finding(
            "predictions",
            model,
            tuple(alarms),
            f"{model} answers {way} than predicted{where} (quality {shift:+.3f}), and no change of it is seen",
            "retrain (`beast learn once`): the predictions are off, not the model",
        )
    if shift < 0:
        also = " and its answers have another length" if "answer length" in signals else ""
        return Finding(
            "provider",
            model,
            tuple(alarms),
            f"{model} answers worse than it did{where} (quality {shift:+.3f}){also}",
            f"look at the provider's notes on {model}; take it out of the pool until it is back, or retrain so that "
            "the router knows (`beast learn once`)",
        )
    if shift > 0:
        return Finding(
            "better",
            model,
            tuple(alarms),
            f"{model} answers better than it did{where} (quality {shift:+.3f})",
            "retrain, so that the router makes use of it (`beast learn once`)",
        )
    if signals & set(_OF_OUTCOMES):
        return Finding(
            "provider",
            model,
            tuple(alarms),
            f"{model} gives answers of another length{where}, so it may be another model than it was",
            f"look at the provider's notes on {model}, and send labels (`quality`) of its answers: length alone does "
            "not tell whether they got worse",
        )
    return Finding(
        "scores",
        model,
        tuple(alarms),
        f"the requests that {model} gets are predicted to go otherwise than they were{where}",
        "nothing yet: outcomes still agree with what is predicted; retrain if the requests have changed, too",
    )


def _labels(alarms: list[Alarm], n_models: int) -> Finding:
    return Finding(
        "labels",
        "",
        tuple(sorted(alarms, key=lambda each: each.raised_at)),
        f"the quality of {n_models} models fell together",
        "look at what labels quality first (a new judge, another prompt for it, fewer labels of one kind): no provider "
        "changes all models at once",
    )


def _traffic(alarms: list[Alarm]) -> Finding:
    what = sorted({alarm.key.signal for alarm in alarms})
    kinds = sorted({alarm.key.kind for alarm in alarms if alarm.key.kind})
    where = f" ({', '.join(kinds)})" if kinds else ""
    return Finding(
        "traffic",
        "",
        tuple(alarms),
        f"the requests have changed: {' and '.join(what)}{where}",
        "nothing as long as outcomes agree with what is predicted; more exploration tells how good models are on them",
    )
