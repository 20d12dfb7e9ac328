"""Small made-up worlds with real structure: what prompts tell is known, so what was learnt can be judged.

A world has four kinds of request, told by their words, and three models that are good at different ones. Quality is
a coin flip of known probability, tokens are log-normal around a known mean, cost is price x tokens. Nothing about it is
real.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.domain import Price
from beast_ml.logs.outcomes import OutcomeMatrix

__all__ = ["WORLD_MODELS", "WORLD_PRICES", "World", "make_world", "thin_out"]

Floats = NDArray[np.float64]

WORLD_MODELS: Final = ("large", "medium", "small")
"""The candidates, sorted; also their order by price, dearest first."""

WORLD_PRICES: Final = {
    "large": Price(input_usd_per_mtok=10.0, output_usd_per_mtok=30.0),
    "medium": Price(input_usd_per_mtok=1.0, output_usd_per_mtok=3.0),
    "small": Price(input_usd_per_mtok=0.1, output_usd_per_mtok=0.3),
}
"""What they charge."""

_WORDS: Final = {
    "chat": ["hello", "weather", "story", "joke", "dinner", "holiday", "friend", "music", "garden", "film"],
    "code": ["python", "loop", "compile", "stack", "regex", "thread", "array", "pointer", "function", "class"],
    "maths": ["integral", "prime", "matrix", "angle", "proof", "equation", "vector", "sum", "limit", "theorem"],
    "translate": ["german", "french", "sentence", "word", "verb", "spanish", "grammar", "translate", "tense", "idiom"],
}
_HARD: Final = "rigorous"
_LONG: Final = "detailed"

# Probability of a right answer to an easy request, by kind, for large, medium and small.
_SKILL: Final = {
    "chat": (0.92, 0.93, 0.93),
    "code": (0.90, 0.85, 0.25),
    "maths": (0.90, 0.55, 0.15),
    "translate": (0.90, 0.90, 0.60),
}
_HARD_FACTOR: Final = (0.9, 0.6, 0.4)
_ANSWER_TOKENS: Final = {"chat": 60.0, "code": 300.0, "maths": 200.0, "translate": 40.0}
_VERBOSITY: Final = (1.5, 1.0, 0.7)
_TOKENS_PER_S: Final = (40.0, 80.0, 160.0)


@dataclass(frozen=True)
class World:
    """Outcomes, and the truth behind them.

    Parameters
    ----------
    outcomes
        n queries x 3 models, every cell observed.
    quality, output_tokens
        (n, 3) expected quality and expected output tokens of each query's kind, whatever the luck of the draw.
    """

    outcomes: OutcomeMatrix
    quality: Floats
    output_tokens: Floats

    @property
    def cost_usd(self) -> Floats:
        """(n, 3) expected cost, USD."""
        return _cost(self.outcomes.input_tokens, self.output_tokens)


def make_world(rng: np.random.Generator, n_queries: int = 300, *, noise: float = 0.3, prefix: str = "q") -> World:
    """Return a world drawn from a generator.

    Parameters
    ----------
    rng
        Where everything comes from.
    n_queries
        How many requests; all different.
    noise
        Standard deviation of the log of output tokens and of latency.
    prefix
        Of query ids and of a number in each prompt: worlds of different prefixes share no question. Prefixes of equal
        length keep them alike otherwise.

    Examples
    --------
    >>> world = make_world(np.random.default_rng(0), 8)
    >>> world.outcomes.models, world.outcomes.quality.shape
    (('large', 'medium', 'small'), (8, 3))
    """
    tasks = rng.choice(sorted(_WORDS), size=n_queries)
    hard, long = rng.random(n_queries) < 0.3, rng.random(n_queries) < 0.3
    prompts = tuple(
        " ".join(
            [*rng.choice(_WORDS[task], size=6), *[_HARD] * int(hard[i]), *[_LONG] * int(long[i]), f"{prefix}{i:06d}"]
        )
        for i, task in enumerate(tasks)
    )
    quality = np.array([_SKILL[task] for task in tasks]) * np.where(hard[:, None], _HARD_FACTOR, 1.0)
    kind = np.array([_ANSWER_TOKENS[task] for task in tasks])[:, None]
    median = kind * np.where(long[:, None], 3.0, 1.0) * _VERBOSITY
    output_tokens = np.ceil(median * np.exp(noise * rng.standard_normal(median.shape)))
    input_tokens = np.repeat([[float(len(prompt.split()) + 3)] for prompt in prompts], 3, axis=1)
    latency = 0.2 + output_tokens / _TOKENS_PER_S * np.exp(noise * rng.standard_normal(median.shape))
    outcomes = OutcomeMatrix(
        query_ids=np.array([f"{prefix}{i:06d}" for i in range(n_queries)]),
        prompts=prompts,
        tasks=tasks,
        apps=np.full(n_queries, ""),
        models=WORLD_MODELS,
        quality=(rng.random(quality.shape) < quality).astype(float),
        cost_usd=_cost(input_tokens, output_tokens),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        latency_s=latency,
        ttft_s=np.full(latency.shape, np.nan),
    )
    return World(outcomes, quality, median * np.exp(noise**2 / 2) + 0.5)  # rounding up adds half a token on average


def thin_out(outcomes: OutcomeMatrix, rng: np.random.Generator, share: float) -> OutcomeMatrix:
    """Return the same queries with this share of the cells (all their measures) unobserved, as in a log.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> thinned = thin_out(make_world(rng, 200).outcomes, rng, 0.5)
    >>> bool(0.4 < np.isnan(thinned.quality).mean() < 0.6)
    True
    """
    hidden = rng.random(outcomes.quality.shape) < share

    def without(values: Floats) -> Floats:
        return np.where(hidden, np.nan, values)

    return outcomes.with_measures(without)


def _cost(input_tokens: Floats, output_tokens: Floats) -> Floats:
    prices = [WORLD_PRICES[name] for name in WORLD_MODELS]
    per_input = np.array([price.input_usd_per_mtok for price in prices])
    per_output = np.array([price.output_usd_per_mtok for price in prices])
    return np.asarray((input_tokens * per_input + output_tokens * per_output) / 1e6)
