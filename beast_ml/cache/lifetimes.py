"""How long an answer of each kind stays right, learned from answers that were looked at again.

    observations (kind, age, still right?) -> posterior of each kind's hazard -> time to live

An answer of kind k changes at a rate of its own, Gamma distributed within the kind with mean lambda_k and squared
coefficient of variation c_k, so it is still right at age a with probability S(a) = (1 + c lambda a)^(-1/c) (Lomax; the
Gamma-Poisson model). An observation says only whether a change came before age a ("current status" data), so the
likelihood is a product of S and 1 - S. lambda_k is a kind's prior guess times a ratio r_k, and ratios are Gamma
distributed among kinds with a mean and a shape that are learned too: kinds without data borrow from the others. All
posteriors are sums over grids, so there is nothing to converge.

A life is counted from when the answer was made. Nothing prolongs it: neither a hit nor a move between tiers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.cache.entry import AnswerKind
from beast_ml.errors import InputError

__all__ = ["PRIOR_MEAN_LIFE_S", "AnswerAge", "KindLife", "Lifetimes", "fit_lifetimes", "read_lifetimes"]

_HOUR_S: Final = 3_600.0
_DAY_S: Final = 24 * _HOUR_S

PRIOR_MEAN_LIFE_S: Final[Mapping[str, float]] = {
    "maths": 3_000 * _DAY_S,
    "translation": 3_000 * _DAY_S,
    "commonsense": 3_000 * _DAY_S,
    "reasoning": 3_000 * _DAY_S,
    "humanities": 1_000 * _DAY_S,
    "chinese_exams": 1_000 * _DAY_S,
    "summarisation": 1_000 * _DAY_S,
    "science": 700 * _DAY_S,
    "social_science": 400 * _DAY_S,
    "code": 300 * _DAY_S,
    "medicine": 200 * _DAY_S,
    "law": 200 * _DAY_S,
    "conversation": 100 * _DAY_S,
    "general_knowledge": 60 * _DAY_S,
    "business": 20 * _DAY_S,
    "function_calling": 5 * _DAY_S,
}
"""Guesses that hold until there are data, of how long answers stay right on average; see `features.kinds`."""

_UNKNOWN_LIFE_S: Final = 20 * _DAY_S  # of a kind that nobody guessed: as cautious as business

_LOG_RATIOS: Final = np.linspace(-9.0, 9.0, 181)
_DISPERSIONS: Final = np.array([0.02, 0.5, 1.0, 2.0, 4.0])
_LOG_MEANS: Final = np.linspace(-5.0, 5.0, 41)
_SHAPES: Final = np.array([0.4, 1.0, 2.5, 6.0])
_GUESS_SD: Final = 1.5  # of the log of the mean ratio: guesses are off together by a factor of e^1.5 or so

Array = NDArray[np.float64]


class AnswerAge(msgspec.Struct, frozen=True):
    """One answer that was looked at again.

    Parameters
    ----------
    kind
        Of its request; "" if unknown.
    age_s
        How old it was then.
    still_right
        Whether a new answer, a judge or a replay agreed with it.
    """

    kind: str
    age_s: float
    still_right: bool


class KindLife(msgspec.Struct, frozen=True):
    """What is known of one kind.

    Parameters
    ----------
    n
        How many answers of it were looked at.
    hazard_per_day, low, high
        Posterior mean rate of change, with 95% credible bounds.
    ttl_s
        How long to keep an answer.
    """

    n: int
    hazard_per_day: float
    low: float
    high: float
    ttl_s: float


class Lifetimes(msgspec.Struct, frozen=True, kw_only=True):
    """Times to live, to look up when an answer is stored.

    Parameters
    ----------
    stale_share
        The probability of being out of date that an answer may reach.
    kinds
        By kind of request.
    other_s
        For kinds that are not in it.
    min_s, max_s
        No answer is kept for longer than `max_s`; one that would not last `min_s` is not worth keeping.
    refusal_s, error_s
        How long refusals and errors are kept.
    """

    stale_share: float
    kinds: dict[str, KindLife]
    other_s: float
    min_s: float = 10.0
    max_s: float = 30 * _DAY_S
    refusal_s: float = 60.0
    error_s: float = 10.0

    def ttl_s(self, kind: str | None, answer: AnswerKind = "answer") -> float:
        """Return how long to keep an answer; 0 where it is not worth it."""
        if answer != "answer":
            return self.refusal_s if answer == "refusal" else self.error_s
        known = self.kinds.get(kind or "")
        ttl_s = min(self.other_s if known is None else known.ttl_s, self.max_s)
        return ttl_s if ttl_s >= self.min_s else 0.0

    def expires_at(self, created_at: float, kind: str | None, answer: AnswerKind = "answer") -> float:
        """Return when an answer's life ends, both in seconds since the epoch; hits do not come into it."""
        return created_at + self.ttl_s(kind, answer)


def fit_lifetimes(
    observations: Iterable[AnswerAge],
    stale_share: float = 0.05,
    prior_life_s: Mapping[str, float] = PRIOR_MEAN_LIFE_S,
    max_s: float = 30 * _DAY_S,
    min_s: float = 10.0,
) -> Lifetimes:
    """Return times to live at whose end an answer is out of date with the given probability.

    Parameters
    ----------
    observations
        Answers that were looked at again; none is fine.
    stale_share
        The probability, over what is not known of the hazards too.
    prior_life_s
        Mean lives that are guessed, by kind.
    max_s, min_s
        Bounds of what is kept.

    Raises
    ------
    InputError
        If the share is not between 0 and 1, or an age or a guess is not a positive number.

    Examples
    --------
    >>> seen = [AnswerAge("business", 3600.0 * hours, hours < 5) for hours in range(1, 25)] * 10
    >>> lives = fit_lifetimes(seen)
    >>> lives.ttl_s("business") < fit_lifetimes([]).ttl_s("business")
    True
    """
    if not 0.0 < stale_share < 1.0:
        raise InputError(f"`stale_share` == {stale_share}, must be between 0 and 1")
    by_kind: dict[str, list[tuple[float, bool]]] = {kind: [] for kind in [*prior_life_s, ""]}
    for each in observations:
        if not (np.isfinite(each.age_s) and each.age_s >= 0.0):
            raise InputError(f"an answer's age == {each.age_s} s, must be a number of seconds from 0")
        by_kind.setdefault(each.kind, []).append((each.age_s, each.still_right))
    guesses = {kind: float(prior_life_s.get(kind, _UNKNOWN_LIFE_S)) for kind in by_kind}
    if not all(np.isfinite(life) and life > 0.0 for life in guesses.values()):
        raise InputError("a guessed mean life is not a positive number of seconds")
    likelihoods = {kind: _log_likelihood(seen, guesses[kind]) for kind, seen in by_kind.items()}
    prior = _log_prior()
    evidence = {kind: _evidence(prior, likelihood) for kind, likelihood in likelihoods.items() if by_kind[kind]}
    hyper = np.repeat(-0.5 * (_LOG_MEANS[:, None] / _GUESS_SD) ** 2, len(_SHAPES), axis=1)
    hyper = np.asarray(sum(evidence.values(), hyper))
    kinds = {
        kind: _life(
            _posterior(prior, hyper - evidence.get(kind, 0.0), likelihood),
            guesses[kind],
            len(by_kind[kind]),
            stale_share,
            max_s,
        )
        for kind, likelihood in likelihoods.items()
    }
    other_s = kinds.pop("").ttl_s
    return Lifetimes(stale_share=stale_share, kinds=kinds, other_s=other_s, max_s=max_s, min_s=min_s)


def read_lifetimes(path: Path) -> Lifetimes:
    """Return the lives in a file that holds them as JSON.

    Raises
    ------
    InputError
        If there is no such file, or something else is in it.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Lifetimes)
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"{path} holds no learned lives ({error}): `beast cache lives` writes them") from error


def _log_survival(ages_over_life: Array) -> Array:
    """Return (ratios, dispersions, n) log S at n ages, in units of the guessed mean life."""
    c = _DISPERSIONS[None, :, None]
    return np.asarray(-np.log1p(c * np.exp(_LOG_RATIOS)[:, None, None] * ages_over_life) / c)


def _log_likelihood(seen: list[tuple[float, bool]], life_s: float) -> Array:
    """Return (ratios, dispersions) log likelihoods."""
    if not seen:
        return np.zeros((len(_LOG_RATIOS), len(_DISPERSIONS)))
    # Ages are pooled into steps of 2%: nothing is lost that matters, and a log of a million is as quick as one of 10^3.
    steps = np.round(np.log(np.maximum([age for age, _ in seen], 1e-3)) / 0.02).astype(int)
    right = np.array([right for _, right in seen])
    found, index = np.unique(steps, return_inverse=True)
    n_right = np.bincount(index, right, len(found))
    n_wrong = np.bincount(index, ~right, len(found))
    log_s = _log_survival(np.exp(found * 0.02) / life_s)
    log_changed = np.log(np.maximum(-np.expm1(log_s), 1e-300))
    return np.asarray(log_s @ n_right + log_changed @ n_wrong)


def _log_prior() -> Array:
    """Return (means, shapes, ratios) log weights of Gamma distributed ratios, on a grid even in their logs."""
    shape = _SHAPES[None, :, None]
    log_rate = np.log(shape) - _LOG_MEANS[:, None, None]
    log_weights = shape * _LOG_RATIOS - np.exp(log_rate + _LOG_RATIOS)
    return np.asarray(log_weights - _log_sum(log_weights, -1)[..., None])


def _evidence(prior: Array, likelihood: Array) -> Array:
    """Return (means, shapes) log likelihoods of one kind's data, over its ratios and dispersions."""
    return _log_sum(prior + _log_sum(likelihood, -1), -1)


def _posterior(prior: Array, others: Array, likelihood: Array) -> Array:
    """Return (ratios, dispersions) posterior weights of one kind, given what the others say of mean and shape."""
    borrowed = _log_sum((prior + others[..., None]).reshape(-1, len(_LOG_RATIOS)), 0)
    weights = likelihood + borrowed[:, None]
    return np.asarray(np.exp(weights - _log_sum(weights.ravel(), 0)))


def _life(posterior: Array, life_s: float, n: int, stale_share: float, max_s: float) -> KindLife:
    hazards = np.exp(_LOG_RATIOS) / life_s * _DAY_S
    weights = posterior.sum(axis=1)
    low, high = np.interp([0.025, 0.975], np.cumsum(weights), hazards)
    return KindLife(n, float(weights @ hazards), float(low), float(high), _ttl_s(posterior, life_s, stale_share, max_s))


def _ttl_s(posterior: Array, life_s: float, stale_share: float, max_s: float) -> float:
    """Return the age at which the posterior mean of 1 - S reaches the share."""
    ages = np.geomspace(1e-2, max_s, 400)
    stale = 1.0 - np.einsum("rc,rca->a", posterior, np.exp(_log_survival(ages / life_s)))
    if stale[-1] <= stale_share:
        return max_s
    return float(np.exp(np.interp(stale_share, stale, np.log(ages)))) if stale[0] < stale_share else 0.0


def _log_sum(values: Array, axis: int) -> Array:
    top = values.max(axis=axis, keepdims=True)
    return np.asarray(np.log(np.exp(values - top).sum(axis=axis)) + np.squeeze(top, axis=axis))
