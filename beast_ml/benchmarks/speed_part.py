"""The part on speed: from text to decision on one core, and peers' decisions beside it."""

from __future__ import annotations

from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from beast_ml.benchmarks.decision_time import DecisionTimes, Timing, decision_times, time_calls
from beast_ml.benchmarks.figures import Figure, PartResult
from beast_ml.benchmarks.part_context import PartContext
from beast_ml.benchmarks.peers.decisions import peer_decisions
from beast_ml.benchmarks.peers.embedded import Examples
from beast_ml.benchmarks.sets import SETS, load_set
from beast_ml.benchmarks.timed_prompts import prompts_by_length, real_prompts
from beast_ml.policy.baselines import model_means
from beast_ml.policy.learner import get_encoder

__all__ = ["measure_speed"]

_N_PROMPTS: Final = 1000
_QUICK_PROMPTS: Final = 100
_N_TRAINING: Final = 1000
_N_TIMED: Final = 500
_PART: Final = "speed"


def measure_speed(context: PartContext) -> PartResult:
    """Return microseconds of one core's CPU time, medians and tails, on prompts that were not met before.

    Ours go from text to model, propensity and fallbacks. Peers decide on a vector that is there already; what their
    own embedding of a text takes comes on top (``minilm_us``; ParetoBandit's encoder).
    """
    n_prompts = _QUICK_PROMPTS if context.quick else _N_PROMPTS
    figures: list[Figure] = []
    for name, times in decision_times(context.data, n_prompts=n_prompts).items():
        figures += _ours(f"{name} router, {times.n_models} models", times)
    return PartResult(_PART, (*figures, *(_peers(context, n_prompts) if context.peers else ())))


def _ours(name: str, times: DecisionTimes) -> list[Figure]:
    figures = []
    for n_tokens, stages in times.by_tokens.items():
        figures += _timing(f"{name}, {n_tokens} tokens", "beast", stages["decision"])
    figures += _timing(f"{name}, features given", "beast", times.features_given)
    return [*figures, Figure(_PART, f"{name}, batches", "beast", "decisions_per_s", times.batch_per_s)]


def _peers(context: PartContext, n_prompts: int) -> list[Figure]:
    outcomes = load_set(SETS["quickstart"], None)
    assert outcomes is not None  # noqa: S101  it comes with a package
    encoder = get_encoder("minilm")
    prompts = prompts_by_length(real_prompts(context.data), np.random.default_rng(0), n_prompts=n_prompts)
    rows = np.arange(min(_N_TRAINING, outcomes.n_queries))
    vectors = encoder.encode([outcomes.prompts[i] for i in rows])
    mean_cost = model_means(outcomes.cost_usd)
    examples = Examples(vectors, outcomes.quality[rows], mean_cost, 0)
    figures = []
    with threadpool_limits(1):
        for n_tokens, texts in prompts.items():
            few = texts[: max(len(texts) // 10, 10)]
            figures += _timing(
                f"{n_tokens} tokens", "minilm", time_calls(lambda text: encoder.encode([text]), few[1:], few[:1])
            )
        timed = list(vectors[:_N_TIMED])
        for name, decide in peer_decisions(examples).items():
            figures += _timing("vector given", name, time_calls(decide, timed[10:], timed[:10]))
    return figures


def _timing(dataset: str, router: str, timing: Timing) -> list[Figure]:
    return [
        Figure(_PART, dataset, router, "median_us", timing.median_us),
        Figure(_PART, dataset, router, "p99_us", timing.p99_us),
        Figure(_PART, dataset, router, "p99_to_median", timing.p99_to_median),
    ]
