"""What to answer before it is asked, within a budget.

    forecast, lives, costs -> candidates -> plan (most expected hits per dollar first) -> execute through the gateway

Warming an answer gains at most one hit that would not have been: the first request would have made the answer for those
after it anyway. So a candidate's first wording gains the probability that anybody asks within the answer's life, times
that of the answer still being right; further wordings of the same question gain less and less. A warmed answer costs
what a miss costs, so warming buys waiting time, not money, unless it is made at a cheaper rate.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.cache.forecast import Forecast
from beast_ml.errors import InputError, ServingError

__all__ = [
    "PlannedAnswer",
    "WarmingCandidate",
    "WarmingPlan",
    "WarmingResult",
    "execute_plan",
    "expected_hits",
    "plan_warming",
]


@dataclass(frozen=True)
class WarmingCandidate:
    """A question that may be answered in advance.

    Parameters
    ----------
    key
        As in the forecast.
    tenant_id
        Whose requests; warmed from that tenant's own requests alone.
    texts
        Wordings, the one that gains most first.
    cost_usd
        Of one answer.
    gains
        Expected hits of the first, second, ... wording; each at most the one before.
    latency_s
        What a hit saves its first asker.

    Raises
    ------
    InputError
        If a gain is greater than the one before, or an amount is negative.
    """

    key: str
    tenant_id: str
    texts: tuple[str, ...]
    cost_usd: float
    gains: tuple[float, ...]
    latency_s: float = 0.0

    def __post_init__(self) -> None:
        if len(self.gains) != len(self.texts) or any(b > a for a, b in zip(self.gains, self.gains[1:], strict=False)):
            raise InputError(
                f"{self.key!r} has gains {self.gains}, must have one a wording, each at most the one before"
            )
        if self.cost_usd < 0.0 or min(self.gains, default=0.0) < 0.0:
            raise InputError(f"{self.key!r} has a cost or gain below 0")


@dataclass(frozen=True)
class PlannedAnswer:
    """One answer to make in advance.

    Parameters
    ----------
    key, tenant_id, text
        What to ask, for whom.
    cost_usd, expected_hits, latency_s
        What it costs, and what it is expected to bring.
    """

    key: str
    tenant_id: str
    text: str
    cost_usd: float
    expected_hits: float
    latency_s: float

    @property
    def hits_per_usd(self) -> float:
        """Return expected hits per dollar; infinite for what costs nothing."""
        return self.expected_hits / self.cost_usd if self.cost_usd else np.inf


@dataclass(frozen=True)
class WarmingPlan:
    """Answers to make, most expected hits per dollar first.

    Parameters
    ----------
    budget_usd
        What they may cost together.
    answers
        Which.
    n_candidates
        Of how many wordings.
    """

    budget_usd: float
    answers: tuple[PlannedAnswer, ...]
    n_candidates: int

    @property
    def cost_usd(self) -> float:
        """Return what the plan costs."""
        return sum(answer.cost_usd for answer in self.answers)

    @property
    def expected_hits(self) -> float:
        """Return how many hits it is expected to bring."""
        return sum(answer.expected_hits for answer in self.answers)

    @property
    def expected_saved_usd(self) -> float:
        """Return what those hits would have cost as misses."""
        return sum(answer.expected_hits * answer.cost_usd for answer in self.answers)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> WarmingPlan:
        """Return the plan that `to_dict` made plain.

        Raises
        ------
        InputError
            If they are not such values.
        """
        try:
            answers = msgspec.convert(values["answers"], tuple[PlannedAnswer, ...])
            return cls(float(values["budget_usd"]), answers, int(values["n_candidates"]))
        except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
            raise InputError(f"these values are no plan to warm a cache: {error}") from error

    def to_dict(self) -> dict[str, object]:
        """Return it as plain values."""
        return {
            "budget_usd": self.budget_usd,
            "cost_usd": self.cost_usd,
            "expected_hits": self.expected_hits,
            "expected_saved_usd": self.expected_saved_usd,
            "hits_per_usd": self.expected_hits / self.cost_usd if self.cost_usd else None,
            "n_candidates": self.n_candidates,
            "answers": [
                {
                    "key": each.key,
                    "tenant_id": each.tenant_id,
                    "text": each.text,
                    "cost_usd": each.cost_usd,
                    "expected_hits": each.expected_hits,
                    "hits_per_usd": each.hits_per_usd,
                    "latency_s": each.latency_s,
                }
                for each in self.answers
            ],
        }


@dataclass(frozen=True)
class WarmingResult:
    """What came of a plan.

    Parameters
    ----------
    n_made, n_failed, n_left
        Answers that were made, that could not be, and that the budget did not reach.
    spent_usd
        What they cost in truth.
    """

    n_made: int
    n_failed: int
    n_left: int
    spent_usd: float


def expected_hits(forecast: Forecast, life_s: Sequence[float], still_right: float = 1.0) -> NDArray[np.float64]:
    """Return (K,) expected gains of warming each key once.

    Parameters
    ----------
    forecast
        Of as many hours ahead as lives count.
    life_s
        (K,) how long an answer would be kept.
    still_right
        Probability that it is right when it is asked for: at least one less the lifetimes' stale share.
    """
    horizon = len(forecast.expected)
    hours = np.asarray(life_s, dtype=np.float64) / 3_600.0
    cumulative = np.vstack([np.zeros(len(forecast.keys)), np.cumsum(forecast.expected, axis=0)])
    whole = np.clip(np.floor(hours).astype(int), 0, horizon)
    column = np.arange(len(forecast.keys))
    last = np.where(whole < horizon, forecast.expected[np.minimum(whole, horizon - 1), column], 0.0)
    mean = cumulative[whole, column] + np.clip(hours - whole, 0.0, 1.0) * last
    return np.asarray(still_right * (1.0 - (1.0 + mean / forecast.shape) ** -forecast.shape))


def plan_warming(candidates: Iterable[WarmingCandidate], budget_usd: float, least_gain: float = 0.0) -> WarmingPlan:
    """Return what to warm: greedily by expected hits per dollar.

    Where all answers cost the same, no plan has more expected hits. Otherwise what does not fit any more is passed
    over for what does, and a single answer that gains more than the whole plan replaces it, so that a plan has at least
    half of the most that can be had; in practice all but the gain of one answer.

    Parameters
    ----------
    candidates
        What may be warmed.
    budget_usd
        What it may cost; what costs nothing is always planned.
    least_gain
        Wordings that gain less are left out.

    Raises
    ------
    InputError
        If the budget is negative or not finite.
    """
    if not (np.isfinite(budget_usd) and budget_usd >= 0.0):
        raise InputError(f"`budget_usd` == {budget_usd}, must be a number of dollars from 0")
    given = [each for each in candidates if each.texts]
    heap = [_offer(i, each, 0) for i, each in enumerate(given)]
    heapq.heapify(heap)
    chosen: list[PlannedAnswer] = []
    left = budget_usd
    best_alone: PlannedAnswer | None = None
    while heap:
        _, _, i, wording = heapq.heappop(heap)
        each = given[i]
        if each.gains[wording] <= least_gain:
            continue
        answer = PlannedAnswer(
            each.key, each.tenant_id, each.texts[wording], each.cost_usd, each.gains[wording], each.latency_s
        )
        if each.cost_usd <= left + 1e-12:
            left -= each.cost_usd
            chosen.append(answer)
            if wording + 1 < len(each.texts):
                heapq.heappush(heap, _offer(i, each, wording + 1))
        elif each.cost_usd <= budget_usd and (best_alone is None or answer.expected_hits > best_alone.expected_hits):
            best_alone = answer
    paid = [answer for answer in chosen if answer.cost_usd > 0.0]
    if best_alone is not None and best_alone.expected_hits > sum(answer.expected_hits for answer in paid):
        chosen = [answer for answer in chosen if answer.cost_usd == 0.0] + [best_alone]
    return WarmingPlan(budget_usd, tuple(chosen), sum(len(each.texts) for each in given))


def execute_plan(plan: WarmingPlan, answer: Callable[[PlannedAnswer], float]) -> WarmingResult:
    """Make the answers of a plan, in order, and stop where the budget is used up.

    Parameters
    ----------
    plan
        What to make.
    answer
        Asks the model, stores the answer and returns what it cost in dollars; raises a `ServingError` if it could
        not, which costs nothing and does not stop the others.
    """
    made = failed = 0
    spent_usd = 0.0
    for n, each in enumerate(plan.answers):
        if spent_usd + each.cost_usd > plan.budget_usd + 1e-12:
            return WarmingResult(made, failed, len(plan.answers) - n, spent_usd)
        try:
            spent_usd += answer(each)
            made += 1
        except ServingError:
            failed += 1
    return WarmingResult(made, failed, 0, spent_usd)


def _offer(i: int, each: WarmingCandidate, wording: int) -> tuple[float, float, int, int]:
    gain = each.gains[wording]
    return (-gain / each.cost_usd if each.cost_usd else -np.inf), -gain, i, wording
