"""What a log cannot answer, and the exploration that would: which models, on which requests, how many.

A question is a pair: how good is model j on requests of kind k? It is answered when the mean quality over the requests
of that kind is known within 0.05 either way (95%), counting each question once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.predictors.contract import Floats

__all__ = ["ExplorationPlan", "OpenQuestion", "plan_exploration", "requests_needed"]

_Z95: Final = 1.959963984540054
_HALF_WIDTH: Final = 0.05
_EPSILON: Final = 0.1
_PRIOR: Final = 2.0
_ALL: Final = "all requests"
_OTHER: Final = "other requests"
_MIN_KIND: Final = 30
_SHOWN: Final = 5


@dataclass(frozen=True)
class OpenQuestion:
    """A model that is not known well enough on one kind of request.

    Parameters
    ----------
    kind, model
        What is asked.
    n_seen
        Different questions of the kind that the model answered, with a quality label.
    half_width
        Of the 95% interval of its mean quality there.
    n_missing
        Labelled answers that are lacking.
    """

    kind: str
    model: str
    n_seen: int
    half_width: float
    n_missing: int


@dataclass(frozen=True)
class ExplorationPlan:
    """What a log leaves open.

    Parameters
    ----------
    questions
        Open pairs, the most telling first.
    n_pairs
        All pairs of kind and model.
    half_width
        What counts as an answer.
    epsilon
        Share of the requests to explore on.
    models
        Models to draw from, with equal probability, when exploring.
    n_requests
        Requests, at the log's mix of kinds and its share of labelled answers, after which all are answered.
    """

    questions: tuple[OpenQuestion, ...]
    n_pairs: int
    half_width: float
    epsilon: float
    models: tuple[str, ...]
    n_requests: int

    def sentence(self) -> str:
        """Return the plan for people."""
        if not self.questions:
            return f"This log answers how good every model is, on every kind of request, within {self.half_width:g}."
        first = "; ".join(
            f"{q.model!r} on {q.kind} ({q.n_seen:,} labelled answers, ±{q.half_width:.2f})"
            for q in self.questions[:_SHOWN]
        )
        more = len(self.questions) - _SHOWN
        rest = f"; and {more} more" if more > 0 else ""
        return (
            f"This log cannot answer {len(self.questions)} of {self.n_pairs} questions within ±{self.half_width:g}: "
            f"{first}{rest}. What would: send {self.advice()}."
        )

    def advice(self) -> str:
        """Return what to explore, as the end of a sentence."""
        return (
            f"{self.epsilon:.0%} of the requests to one of {len(self.models)} models drawn with equal probability "
            f"({', '.join(self.models)}), with its propensity logged, for about {self.n_requests:,} requests"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the plan for a report."""
        return asdict(self)


def requests_needed(half_width: float, variance: float = 0.25) -> int:
    """Return how many answers give a mean a 95% interval of this half-width.

    Examples
    --------
    >>> requests_needed(0.05)
    385
    """
    return math.ceil(variance * (_Z95 / half_width) ** 2)


def plan_exploration(
    models: Sequence[str],
    quality: Floats,
    kinds: NDArray[np.str_],
    question: NDArray[np.intp],
    *,
    half_width: float = _HALF_WIDTH,
    epsilon: float = _EPSILON,
) -> ExplorationPlan:
    """Return what a log leaves open, and the exploration that would answer it.

    Parameters
    ----------
    quality
        (n, m) labelled outcomes, NaN where there is none.
    kinds
        (n,) kind of each request, "" where not known. Kinds of fewer than 30 requests are taken
        together with those not known.
    question
        (n,) which question it asks; repeats add nothing.
    half_width
        What counts as an answer.
    epsilon
        Share of requests to explore on.
    """
    names, counts = np.unique(kinds[kinds != ""], return_counts=True)
    groups = [(str(name), kinds == name) for name, n in zip(names, counts, strict=True) if n >= _MIN_KIND]
    rest = ~np.isin(kinds, [name for name, _ in groups])
    if not groups or rest.sum() >= _MIN_KIND:
        groups.append((_OTHER if groups else _ALL, rest))
    labelled = float(np.isfinite(quality).any(axis=1).mean())
    found: list[tuple[float, OpenQuestion, float]] = []
    for kind, members in groups:
        share = float(members.mean()) * (labelled or 1.0)  # without a single label: as if all had one
        for j, model in enumerate(models):
            seen = members & np.isfinite(quality[:, j])
            n = len(np.unique(question[seen]))
            mean = (float(quality[seen, j].sum()) + 0.5 * _PRIOR) / (int(seen.sum()) + _PRIOR)
            variance = mean * (1.0 - mean) if n >= _PRIOR else 0.25
            width = min(_Z95 * math.sqrt(variance / n), 0.5) if n else 0.5
            missing = requests_needed(half_width, variance) - n
            if missing > 0:
                found.append((-missing * share, OpenQuestion(kind, model, n, width, missing), missing / share))
    explored = tuple(sorted({question.model for _, question, _ in found}))
    slowest = max((needed for _, _, needed in found), default=0.0)
    return ExplorationPlan(
        questions=tuple(question for _, question, _ in sorted(found, key=lambda item: item[0])),
        n_pairs=len(groups) * len(models),
        half_width=half_width,
        epsilon=epsilon,
        models=explored,
        n_requests=math.ceil(slowest * len(explored) / epsilon),
    )
