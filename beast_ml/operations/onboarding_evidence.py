"""What a router's evidence still proves once a model that nobody has tested is in its pool."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from beast_ml.bundle.read import RouterBundle
from beast_ml.errors import NoCandidateError
from beast_ml.policy.decide import Constraints, only, rank_batch
from beast_ml.policy.spec import PolicySpec
from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.pool import Expected, PoolPredictors
from beast_ml.registry.evidence import Evidence, Interval

__all__ = ["Weakened", "choice_probabilities", "moved", "weaken"]


@dataclass(frozen=True)
class Weakened:
    """Evidence that allows for a new candidate.

    Parameters
    ----------
    evidence
        What promotion will judge.
    share
        Share of the requests that would go to the new candidate.
    """

    evidence: Evidence
    share: float


def weaken(
    evidence: Evidence, before: RouterBundle, after: PoolPredictors, new: str, rows: Rows, *, is_probed: bool
) -> Weakened:
    """Return a router's evidence, as far as it holds with a new candidate that answers part of the requests.

    The figures on the old candidates stand. On requests that would now go to the new one, by the policy's utility or by
    its exploration, and within its constraints, the gain changes by its quality minus that of the models it displaces.
    Of a model whose answers nobody has judged, that quality is anything from 0 to 1; of one that has answered probes,
    the interval of its prediction holds it. The gain and the saving get these ends on top of their own, all of them bad
    at once, so a gate passes only what would hold even then: a router that hardly uses the new model, or one whose
    probes speak for it.

    Parameters
    ----------
    evidence
        On the router without the candidate.
    before
        That router.
    after
        Predictors of the larger pool.
    new
        The new candidate.
    rows
        (n, d) features of requests such as the router sees.
    is_probed
        Whether any of its answers was judged.
    """
    policy, at = before.policy, after.models.index(new)
    expected = after.predict(rows)
    now = choice_probabilities(policy, after.models, expected)
    taken = now[:, at].copy()
    if not taken.any():
        return Weakened(evidence, 0.0)
    old = choice_probabilities(policy, before.predictors.models, before.predictors.predict(rows))
    displaced = np.insert(old, at, 0.0, axis=1) - now
    displaced[:, at] = 0.0
    lost = (displaced * expected.quality).sum(axis=1)
    ends = (
        after.quality.interval(rows) if is_probed else (np.zeros_like(expected.quality), np.ones_like(expected.quality))
    )
    low, middle, high = (
        float((taken * quality[:, at] - lost).mean()) for quality in (ends[0], expected.quality, ends[1])
    )
    weaker = msgspec.structs.replace(
        evidence,
        router_quality=float(np.clip(evidence.router_quality + middle, 0.0, 1.0)),
        quality_gain=moved(evidence.quality_gain, low, middle, high),
    )
    return Weakened(_with_saving(weaker, after, expected, rows, taken, displaced, at), float(taken.mean()))


def _with_saving(
    evidence: Evidence,
    after: PoolPredictors,
    expected: Expected,
    rows: Rows,
    taken: Floats,
    displaced: Floats,
    at: int,
) -> Evidence:
    """Return the evidence with its saving moved by what the new model costs beyond the displaced ones."""
    predictor, cost = (
        (after.latency, expected.latency_s) if evidence.cost_unit == "s" else (after.cost, expected.cost_usd)
    )
    saving, paid = evidence.cost_saving, evidence.router_cost
    if saving is None or predictor is None or cost is None:
        return evidence
    # What the saving is a share of: the reference's cost, as these predictors see it where that is one model.
    by_log = evidence.reference == "logging_policy"
    reference = (
        _logged_cost(evidence) if by_log else float(cost[:, after.models.index(evidence.best_single_model)].mean())
    )
    if reference is None or reference <= 0.0:
        return msgspec.structs.replace(evidence, cost_saving=None)
    ends = predictor.interval(rows)
    spared = (displaced * cost).sum(axis=1)
    low, middle, high = (float((spared - taken * own[:, at]).mean()) / reference for own in (ends[1], cost, ends[0]))
    better = moved(saving, min(low, middle), middle, max(high, middle))
    unit = reference if by_log else evidence.best_single_cost
    if unit is not None and paid is not None:
        paid = max(paid - middle * unit, 0.0)
    return msgspec.structs.replace(evidence, cost_saving=better, router_cost=paid)


def _logged_cost(evidence: Evidence) -> float | None:
    """Return the mean cost of the policy that wrote the log: the router's, and what of it was saved, tell it."""
    saving, paid = evidence.cost_saving, evidence.router_cost
    return None if saving is None or paid is None or saving.mean >= 1.0 else paid / (1.0 - saving.mean)


def moved(interval: Interval, low: float, middle: float, high: float) -> Interval:
    """Return an interval that is moved by what is itself only known within ends, all of them bad at once."""
    return Interval(interval.mean + middle, interval.low + low, interval.high + high)


def choice_probabilities(policy: PolicySpec, models: tuple[str, ...], expected: Expected) -> Floats:
    """Return (n, m) probabilities of being chosen; zeros where the policy's constraints leave nobody."""
    standing = Constraints.of(policy.objective)
    out = np.zeros_like(expected.quality)
    for row in range(len(out)):
        try:
            (ranking,) = rank_batch(policy, models, only(expected, row), standing)
        except NoCandidateError:
            continue
        out[row, ranking.allowed[0]] = ranking.propensity
        for j, propensity in ranking.tried:
            out[row, j] = propensity
    return out
