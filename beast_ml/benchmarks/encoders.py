"""What an encoder is worth: share of the gap, microseconds and training time of each, on the same splits."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import InputError, NotEnoughDataError
from beast_ml.evaluation.bootstrap import Estimate, QueryBootstrap
from beast_ml.evaluation.pool import scored_queries
from beast_ml.evaluation.routing_metrics import Scoreboard
from beast_ml.features.encoder import Encoder
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.splits import holdout_mask
from beast_ml.policy.learner import EncoderName, RouterLearner, realised_cost
from beast_ml.policy.operating_point import best_single_model
from beast_ml.policy.utility import CostKind, Predictions, choose, willingness_grid

__all__ = ["EncoderComparison", "EncoderResult", "compare_encoders"]

Floats = NDArray[np.float64]

_TEST_FRACTION: Final = 0.3
_TIMED_PROMPTS: Final = 100


@dataclass(frozen=True)
class EncoderResult:
    """What routers with one encoder came to; figures are means over the splits.

    Parameters
    ----------
    encoder
        Its name.
    share_of_gap
        On held-out queries.
    gain
        The same minus that of the first encoder, paired by query.
    share_out_of_fold
        What the router's out-of-fold predictions promised on its training queries.
    brier, brier_out_of_fold
        Mean squared error of predicted quality, held out and as promised.
    encode_us
        Median microseconds to encode one held-out prompt, one at a time.
    training_s
        Seconds to fit a router, encoder included.
    """

    encoder: EncoderName
    share_of_gap: Estimate
    gain: Estimate
    share_out_of_fold: float
    brier: float
    brier_out_of_fold: float
    encode_us: float
    training_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for a report."""
        return {
            **{name: value for name, value in vars(self).items() if not isinstance(value, Estimate)},
            "share_of_gap": self.share_of_gap.to_dict(),
            "gain": self.gain.to_dict(),
        }


@dataclass(frozen=True)
class EncoderComparison:
    """Encoders on the splits of one outcome set.

    Parameters
    ----------
    results
        One an encoder, in the order asked for.
    n_train, n_test
        Mean sizes of the two sides of a split; only test queries on which every model was observed count.
    seeds
        One split each.
    """

    results: tuple[EncoderResult, ...]
    n_train: float
    n_test: float
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class _OneSplit:
    shares: Floats
    """(1 + r,) on the test queries, and on each resample of them."""
    share_out_of_fold: float
    brier: float
    brier_out_of_fold: float
    encode_us: float
    training_s: float


def compare_encoders(
    outcomes: OutcomeMatrix,
    encoders: Sequence[EncoderName] = ("static", "tuned", "minilm"),
    *,
    cost: CostKind = "cost_usd",
    seeds: Sequence[int] = (0, 1, 2),
    n_resamples: int = 1000,
    say: Callable[[str], None] = lambda _: None,
) -> EncoderComparison:
    """Return what each encoder is worth on splits of 70% to learn from and 30% to decide on, by question.

    Intervals are the means over splits of each split's paired bootstrap interval: they do not shrink with the number
    of splits, whose test queries overlap.

    Parameters
    ----------
    outcomes
        Full-information outcomes of the pool.
    encoders
        What to compare; gains are over the first.
    say
        Called with what is being done.

    Raises
    ------
    InputError
        If there is no encoder or no seed.
    NotEnoughDataError
        If the outcomes are too few to learn from or to score on.
    """
    if not encoders or not seeds:
        raise InputError(f"{len(encoders)} encoders and {len(seeds)} seeds to compare, give at least one of each")
    runs: dict[EncoderName, list[_OneSplit]] = {name: [] for name in encoders}
    sizes = []
    for seed in seeds:
        held_out = holdout_mask(outcomes.prompts, _TEST_FRACTION, seed)
        train, test = outcomes.rows(~held_out), outcomes.rows(held_out)
        test = test.rows(scored_queries(test, cost))
        if not test.n_queries:
            raise NotEnoughDataError("on no held-out query was every model observed: nothing can be scored")
        sizes.append((train.n_queries, test.n_queries))
        board = _scoreboard(train, test, cost, QueryBootstrap.draw(_rng(seed), test.n_queries, n_resamples))
        for name in runs:
            say(f"seed {seed}: learning with the {name} encoder from {train.n_queries} queries")
            runs[name].append(_measure(RouterLearner(name), train, test, board, cost, seed))
    first = runs[encoders[0]]
    results = tuple(_summary(name, splits, first) for name, splits in runs.items())
    n_train, n_test = np.mean(sizes, axis=0)
    return EncoderComparison(results, float(n_train), float(n_test), tuple(seeds))


def _measure(
    learner: RouterLearner, train: OutcomeMatrix, test: OutcomeMatrix, board: Scoreboard, cost: CostKind, seed: int
) -> _OneSplit:
    started = time.perf_counter()
    router = learner.fit(train, cost, seed)
    training_s = time.perf_counter() - started
    promised, predicted = router.out_of_fold, router.predict(test.prompts)
    known = scored_queries(train, cost)
    seen = train.rows(known)
    own = _scoreboard(seen, seen, cost, QueryBootstrap.draw(_rng(seed), seen.n_queries, 0))
    on_training = Predictions(promised.models, promised.quality[known], promised.cost[known])
    grid = willingness_grid(promised)
    return _OneSplit(
        shares=_shares(board, predicted, grid),
        share_out_of_fold=float(_shares(own, on_training, grid)[0]),
        brier=float(np.nanmean((predicted.quality - test.quality) ** 2)),
        brier_out_of_fold=float(np.nanmean((promised.quality - train.quality) ** 2)),
        encode_us=_microseconds(router.features.encoder, test.prompts[:_TIMED_PROMPTS]),
        training_s=training_s,
    )


def _scoreboard(train: OutcomeMatrix, test: OutcomeMatrix, cost: CostKind, bootstrap: QueryBootstrap) -> Scoreboard:
    reference = best_single_model(train.quality, realised_cost(train, cost))
    return Scoreboard(test.quality, realised_cost(test, cost), reference, float("inf"), bootstrap)


def _shares(board: Scoreboard, predictions: Predictions, grid: Floats) -> Floats:
    choices = np.stack([choose(predictions, willingness) for willingness in grid]).astype(np.int16)
    return np.asarray(board.curve_metrics(board.points(choices))["share_of_gap"])


def _microseconds(encoder: Encoder, prompts: Sequence[str]) -> float:
    encoder.encode(prompts[:1])  # loads what it loads at first use
    spent = []
    for prompt in prompts:
        started = time.perf_counter()
        encoder.encode([prompt])
        spent.append(time.perf_counter() - started)
    return float(np.median(spent)) * 1e6


def _summary(name: EncoderName, splits: Sequence[_OneSplit], first: Sequence[_OneSplit]) -> EncoderResult:
    return EncoderResult(
        encoder=name,
        share_of_gap=_mean([Estimate.of(split.shares) for split in splits]),
        gain=_mean([Estimate.of(split.shares - other.shares) for split, other in zip(splits, first, strict=True)]),
        share_out_of_fold=float(np.mean([split.share_out_of_fold for split in splits])),
        brier=float(np.mean([split.brier for split in splits])),
        brier_out_of_fold=float(np.mean([split.brier_out_of_fold for split in splits])),
        encode_us=float(np.median([split.encode_us for split in splits])),
        training_s=float(np.mean([split.training_s for split in splits])),
    )


def _mean(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean of each end; None where a split does not define it."""

    def mean(ends: Sequence[float | None]) -> float | None:
        known = [end for end in ends if end is not None]
        return float(np.mean(known)) if len(known) == len(ends) else None

    return Estimate(
        mean([e.value for e in estimates]), mean([e.low for e in estimates]), mean([e.high for e in estimates])
    )


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 2])
