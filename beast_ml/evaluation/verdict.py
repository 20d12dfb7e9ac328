"""Does routing pay here? One rule, one sentence.

Routing pays when the lower 95% bound of (quality - best single model's) is above -0.01 and it costs less (the lower
bound of the saving is above zero), or when its quality is significantly higher. Otherwise: use the best single model.
"""

from __future__ import annotations

from dataclasses import dataclass

from beast_ml.evaluation.bootstrap import Estimate
from beast_ml.policy.operating_point import QUALITY_MARGIN, OperatingPoint

__all__ = ["Verdict", "no_verdict", "reach_verdict"]


@dataclass(frozen=True)
class Verdict:
    """Whether to route.

    Parameters
    ----------
    pays
        The answer; None when nothing could be scored.
    sentence
        The answer for people.
    model
        The reference: the best single model of the training data.
    quality_gain
        Router's quality at its operating point minus the reference's.
    saving
        Fraction of the reference's cost that is saved there; None inside when there is no cost.
    operating_point
        What was chosen on training data.
    """

    pays: bool | None
    sentence: str
    model: str
    quality_gain: Estimate
    saving: Estimate
    operating_point: OperatingPoint

    def to_dict(self) -> dict[str, object]:
        """Return the verdict for a report; intervals as [value, low, high]."""
        point = self.operating_point
        return {
            "pays": self.pays,
            "sentence": self.sentence,
            "reference_model": self.model,
            "quality_gain": [self.quality_gain.value, self.quality_gain.low, self.quality_gain.high],
            "saving": [self.saving.value, self.saving.low, self.saving.high],
            "operating_point": {name: getattr(point, name) for name in point.__struct_fields__},
        }


def reach_verdict(point: OperatingPoint, quality_gain: Estimate, saving: Estimate, n_queries: int) -> Verdict:
    """Return the verdict on a router from its paired test estimates against the reference model.

    Parameters
    ----------
    n_queries
        Number of scored test queries, for the sentence.
    """
    better = quality_gain.low is not None and quality_gain.low > 0
    as_good = quality_gain.low is not None and quality_gain.low > -QUALITY_MARGIN
    cheaper = saving.low is not None and saving.low > 0
    routes = point.kind == "router"
    pays = routes and (better or (as_good and cheaper))
    model = repr(point.model)
    if not routes:
        sentence = (
            f"Use {model}: routing does not pay here. On the training data every cheaper trade-off lost "
            "quality against this model, or might have."
        )
    else:
        found = f"quality {_points(quality_gain)} and cost {_change(saving)} against {model} on {n_queries} queries"
        if pays:
            sentence = f"Routing pays here: {found}."
        elif as_good:
            sentence = f"Use {model}: routing does not pay here, {found}; nothing is saved for certain."
        else:
            sentence = f"Use {model}: routing does not pay here, {found}; a loss of quality cannot be ruled out."
    return Verdict(pays, sentence, point.model, quality_gain, saving, point)


def no_verdict(point: OperatingPoint, why: str) -> Verdict:
    """Return that there is no verdict, because no test query could be scored."""
    unknown = Estimate(None)
    return Verdict(None, f"nothing could be scored: {why}", point.model, unknown, unknown, point)


def _points(gain: Estimate) -> str:
    return _interval(gain, "{:+z.2f} points", "{:+z.2f}")


def _change(saving: Estimate) -> str:
    if saving.value is None:
        return "not measured"
    negated = Estimate(
        -saving.value,
        None if saving.high is None else -saving.high,
        None if saving.low is None else -saving.low,
    )
    return _interval(negated, "{:+z.1f}%", "{:+z.1f}")


def _interval(estimate: Estimate, main: str, inner: str) -> str:
    if estimate.value is None:
        return "not defined"
    text = main.format(100 * estimate.value)
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} [{inner.format(100 * estimate.low)}, {inner.format(100 * estimate.high)}]"
