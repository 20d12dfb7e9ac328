"""From text to decision: microseconds of one core a request, by length of the prompt, and where they go."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from beast_ml.benchmarks.timed_prompts import prompts_by_length, real_prompts, timed_routers
from beast_ml.policy.decide import Constraints, decide_batch
from beast_ml.predictors.fused import fuse
from beast_ml.serving.router import Router

__all__ = ["STAGES", "DecisionTimes", "Timing", "decision_times", "measure_router", "time_calls"]

STAGES: Final = ("encode", "features", "predict", "decision", "explained")
"""What is timed on each prompt: its embedding; all features; expectations from them; the whole; with reasons."""

_WARM_SHARE: Final = 0.3
_BATCH_TOKENS: Final = 50
_BATCH: Final = 64

T = TypeVar("T")


@dataclass(frozen=True)
class Timing:
    """What a call takes, in microseconds of CPU time.

    Parameters
    ----------
    n_calls
        How many were timed.
    median_us, p90_us, p99_us
        Quantiles over the calls.
    """

    n_calls: int
    median_us: float
    p90_us: float
    p99_us: float

    @property
    def p99_to_median(self) -> float:
        """How many times the median the slowest hundredth takes."""
        return self.p99_us / self.median_us

    def to_dict(self) -> dict[str, float]:
        """Return the figures, rounded, for JSON."""
        return {
            "median_us": round(self.median_us, 1),
            "p90_us": round(self.p90_us, 1),
            "p99_us": round(self.p99_us, 1),
            "p99_to_median": round(self.p99_to_median, 2),
        }


@dataclass(frozen=True)
class DecisionTimes:
    """What the decisions of one router take.

    Parameters
    ----------
    n_models, n_features
        Of the router.
    by_tokens
        Number of tokens -> stage -> timing; see `STAGES`.
    features_given
        Expectations and choice from a feature row that is there already.
    batch_per_s
        Requests of about 50 tokens that `Router.route_batch` decides in a second.
    """

    n_models: int
    n_features: int
    by_tokens: Mapping[int, Mapping[str, Timing]]
    features_given: Timing
    batch_per_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return everything, for JSON."""
        return {
            "models": self.n_models,
            "features": self.n_features,
            "by_tokens": {
                str(n_tokens): {stage: timing.to_dict() for stage, timing in stages.items()}
                for n_tokens, stages in self.by_tokens.items()
            },
            "features_given": self.features_given.to_dict(),
            "batch_per_s": round(self.batch_per_s),
        }


def decision_times(
    folder: Path | None = None, *, routers: Mapping[str, Router] | None = None, n_prompts: int = 1000, seed: int = 0
) -> dict[str, DecisionTimes]:
    """Return decision times by name of the router.

    Parameters
    ----------
    folder
        Of public outcome sets to take prompts from, beside the quickstart's.
    routers
        Default: those of `timed_routers`.
    n_prompts
        How many different prompts of each length; three in ten warm up, the others are timed once each.
    seed
        Of the draw of prompts.
    """
    prompts = prompts_by_length(real_prompts(folder), np.random.default_rng(seed), n_prompts=n_prompts)
    return {name: measure_router(router, prompts) for name, router in (routers or timed_routers()).items()}


def measure_router(router: Router, prompts: Mapping[int, Sequence[str]]) -> DecisionTimes:
    """Return what the decisions of a router take on prompts by their number of tokens.

    No prompt that is timed has been seen before: a share of all lengths warms up, as the words of other requests do in
    a server, and the rest is timed once.
    """
    features, models, policy = router.bundle.features, router.models, router.bundle.policy
    predictors = fuse(router.bundle.predictors)
    n_warm = {n_tokens: int(_WARM_SHARE * len(texts)) for n_tokens, texts in prompts.items()}
    warm = [text for n_tokens, texts in prompts.items() for text in texts[: n_warm[n_tokens]]]
    fresh = {n_tokens: texts[n_warm[n_tokens] :] for n_tokens, texts in prompts.items()}
    asked = Constraints()

    def explained(prompt: str) -> object:
        return router.route(prompt, explain=True)

    by_tokens = {}
    with _alone():
        for text in warm:
            router.route(text)
        # The whole first: afterwards the router has met the prompts' words.
        whole = {n_tokens: time_calls(router.route, texts) for n_tokens, texts in fresh.items()}
        for n_tokens, texts in fresh.items():
            rows = [features.row(text)[None] for text in texts]
            by_tokens[n_tokens] = {
                "encode": time_calls(lambda text: features.encoder.encode([text]), texts),
                "features": time_calls(features.row, texts),
                "predict": time_calls(predictors.predict, rows),
                "decision": whole[n_tokens],
                "explained": time_calls(explained, texts),
            }
        rows = [features.row(text)[None] for texts in fresh.values() for text in texts]
        given = time_calls(lambda row: decide_batch(policy, models, predictors.predict(row), asked), rows)
        batches = fresh.get(_BATCH_TOKENS) or next(iter(fresh.values()))
        per_s = _batches_per_s(router, batches)
    return DecisionTimes(len(models), features.dim, by_tokens, given, per_s)


def time_calls(call: Callable[[T], object], items: Sequence[T], warm: Sequence[T] = ()) -> Timing:
    """Return what a call takes on each of some items, after one round over those that warm up.

    CPU time of the calling thread, so that what else the machine does is not counted.
    """
    for item in warm:
        call(item)
    spent = np.empty(len(items))
    clock = time.thread_time_ns
    for i, item in enumerate(items):
        started = clock()
        call(item)
        spent[i] = clock() - started
    median, p90, p99 = np.percentile(spent, [50, 90, 99]) / 1000.0
    return Timing(len(items), float(median), float(p90), float(p99))


def _batches_per_s(router: Router, prompts: Sequence[str]) -> float:
    batches = [prompts[start : start + _BATCH] for start in range(0, len(prompts), _BATCH)]
    router.route_batch(batches[0])
    started = time.thread_time()
    for batch in batches:
        router.route_batch(batch)
    return len(prompts) / (time.thread_time() - started)


@contextmanager
def _alone() -> Iterator[None]:
    """One thread; and the garbage collector leaves alone what training left behind, which a server never has."""
    gc.collect()
    gc.freeze()
    try:
        with threadpool_limits(1):
            yield
    finally:
        gc.unfreeze()
