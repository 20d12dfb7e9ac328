"""Real prompts of given lengths, and routers to decide on them: what decision times are measured with."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from tokenizers import Tokenizer

from beast_ml.bundle.write import write_bundle
from beast_ml.domain import Price
from beast_ml.errors import NotEnoughDataError
from beast_ml.features.distill import static_encoder
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.public.quickstart import load_quickstart
from beast_ml.policy.learner import EncoderName, RouterLearner
from beast_ml.serving.router import Router

__all__ = ["TOKENS", "prompts_by_length", "real_prompts", "timed_routers", "widened"]

TOKENS: Final = (20, 50, 190, 330)
"""Lengths of the prompts that decisions are timed on."""

_WITHIN: Final = 0.15
_MAX_DRAWS: Final = 20
_N_TRAINING: Final = 400  # what was learnt does not change the time that it takes
_WIDE: Final = 30


def real_prompts(folder: Path | None = None) -> list[str]:
    """Return the different prompts of the quickstart set, and of the outcome sets in a folder, sorted.

    Parameters
    ----------
    folder
        Holds a folder a set with ``outcomes.parquet`` in it.
    """
    import pandas as pd

    prompts = {prompt for frame in load_quickstart() for prompt in frame["prompt"]}
    for path in sorted(folder.glob("*/outcomes.parquet")) if folder else ():
        prompts.update(pd.read_parquet(path, columns=["prompt"])["prompt"].dropna())
    return sorted(prompts)


def prompts_by_length(
    prompts: Sequence[str],
    rng: np.random.Generator,
    *,
    n_prompts: int = 1000,
    tokens: Sequence[int] = TOKENS,
    tokenizer: Tokenizer | None = None,
) -> dict[int, list[str]]:
    """Return different prompts of about each number of tokens, in random order.

    Prompts within 15% of a length come first; where there are not enough, longer ones are cut after a word, and
    shorter ones put together.

    Parameters
    ----------
    prompts
        To choose from.
    rng
        Draws them.
    n_prompts
        How many of each length.
    tokens
        The lengths.
    tokenizer
        Counts; default: the static encoder's.

    Raises
    ------
    NotEnoughDataError
        If so many different ones cannot be made of the prompts.
    """
    counted = _tokenizer() if tokenizer is None else tokenizer
    lengths = np.array([len(encoding.ids) for encoding in counted.encode_batch(prompts, add_special_tokens=False)])
    chosen = {}
    for n_tokens in tokens:
        near = np.flatnonzero(np.abs(lengths - n_tokens) <= _WITHIN * n_tokens)
        found = dict.fromkeys(prompts[i] for i in rng.permutation(near)[:n_prompts])
        for _ in range(_MAX_DRAWS * n_prompts):
            if len(found) == n_prompts:
                break
            drawn = rng.permutation(len(prompts))[:n_tokens]
            used = drawn[: int(np.searchsorted(lengths[drawn].cumsum(), n_tokens)) + 1]
            found[_cut("\n\n".join(prompts[i] for i in used), n_tokens, counted)] = None
        if len(found) < n_prompts:
            raise NotEnoughDataError(
                f"{len(prompts)} prompts make only {len(found)} different ones of about {n_tokens} tokens, "
                f"{n_prompts} are asked for: give more of them, or ask for fewer"
            )
        texts = list(found)
        chosen[n_tokens] = [texts[i] for i in rng.permutation(n_prompts)]
    return chosen


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_buffer(static_encoder().tokenizer_json)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _cut(text: str, n_tokens: int, tokenizer: Tokenizer) -> str:
    """Return the beginning of a text, up to the end of the word that its n-th token is in."""
    encoding = tokenizer.encode(text, add_special_tokens=False)
    words, end = encoding.word_ids, min(n_tokens, len(encoding.ids))
    while end < len(words) and words[end] == words[end - 1]:
        end += 1
    return text[: encoding.offsets[end - 1][1]] if end else text


def timed_routers(encoder: EncoderName = "static") -> dict[str, Router]:
    """Return two routers fitted on some of the quickstart set: with its own 3 models, and with 30 made-up ones.

    The wide one predicts quality, input and output tokens; the other quality and cost in dollars.
    """
    outcomes = OutcomeMatrix.from_frame(load_quickstart()[0]).rows(np.arange(_N_TRAINING))
    wide, prices = widened(outcomes, _WIDE, np.random.default_rng(0))
    return {
        "quickstart": _served(RouterLearner(encoder), outcomes),
        "wide": _served(RouterLearner(encoder, prices), wide),
    }


def widened(outcomes: OutcomeMatrix, n_models: int, rng: np.random.Generator) -> tuple[OutcomeMatrix, dict[str, Price]]:
    """Return the same queries answered by made-up models with token counts, and their prices.

    Each is one of the real models with noise on its quality; answers get longer with the prompt.
    """
    columns = np.arange(n_models) % len(outcomes.models)
    shape = (outcomes.n_queries, n_models)
    names = tuple(f"model-{j:02d}" for j in range(n_models))
    prices = {
        name: Price(price, 3.0 * price)
        for name, price in zip(names, np.geomspace(0.05, 15.0, n_models).tolist(), strict=True)
    }
    input_tokens = np.array([[len(prompt) / 4.0 + 1.0] for prompt in outcomes.prompts]) * rng.uniform(0.9, 1.1, shape)
    output_tokens = 20.0 * np.sqrt(input_tokens) * rng.lognormal(0.0, 0.5, shape)
    per_token = np.array([[price.input_usd_per_mtok, price.output_usd_per_mtok] for price in prices.values()]) / 1e6
    wide = replace(
        outcomes,
        models=names,
        quality=np.clip(outcomes.quality[:, columns] + rng.normal(0.0, 0.1, shape), 0.0, 1.0),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_usd=input_tokens * per_token[:, 0] + output_tokens * per_token[:, 1],
        latency_s=np.full(shape, np.nan),
        ttft_s=np.full(shape, np.nan),
    )
    return wide, prices


def _served(learner: RouterLearner, outcomes: OutcomeMatrix) -> Router:
    with tempfile.TemporaryDirectory() as scratch:
        write_bundle(learner.fit(outcomes), Path(scratch) / "bundle")
        return Router.load(Path(scratch) / "bundle", rng=np.random.default_rng(0))
