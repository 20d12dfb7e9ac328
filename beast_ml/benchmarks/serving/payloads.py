"""Bodies of requests: real prompts of about fifty tokens, as many different ones as a run needs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from beast_ml.benchmarks.timed_prompts import prompts_by_length, real_prompts
from beast_ml.errors import NotEnoughDataError

__all__ = ["N_TOKENS", "base_prompts", "batches", "chats", "routes", "varied", "write_bodies"]

N_TOKENS: Final = 50
"""About so many tokens a prompt has."""

_N_BASE: Final = 4000


def base_prompts(data: Path | None, n_prompts: int = _N_BASE, seed: int = 0) -> list[str]:
    """Return different real prompts of about fifty tokens.

    Parameters
    ----------
    data
        Folder of public outcome sets to take prompts from, beside the quickstart's.
    n_prompts
        How many.
    seed
        Of the draw.
    """
    rng = np.random.default_rng(seed)
    return prompts_by_length(real_prompts(data), rng, n_prompts=n_prompts, tokens=(N_TOKENS,))[N_TOKENS]


def varied(base: Sequence[str], n_prompts: int, seed: int = 0) -> Iterator[str]:
    """Yield different prompts: the given ones, then the first half of one before the second half of another.

    Raises
    ------
    NotEnoughDataError
        If so many cannot be made.

    Examples
    --------
    >>> list(varied(["one two", "three four"], 4))
    ['one two', 'three four', 'one four', 'three two']
    """
    seen: set[str] = set()
    for prompt in _spliced(base, seed):
        if len(seen) == n_prompts:
            return
        if prompt not in seen:
            seen.add(prompt)
            yield prompt
    if len(seen) < n_prompts:
        raise NotEnoughDataError(f"{len(base)} prompts make {len(seen)} different ones, {n_prompts} are asked for")


def _spliced(base: Sequence[str], seed: int) -> Iterator[str]:
    yield from base
    halves = [_halves(prompt) for prompt in base]
    for step in np.random.default_rng(seed).permutation(np.arange(1, len(base))).tolist():
        for i, (first, _) in enumerate(halves):
            yield first + halves[(i + step) % len(base)][1]


def _halves(text: str) -> tuple[str, str]:
    """Return a text in two, cut before the word nearest to its middle."""
    middle = len(text) // 2
    at = text.find(" ", middle)
    at = at if at >= 0 else text.rfind(" ", 0, middle)
    return (text[:at], text[at:]) if at >= 0 else (text, "")


def routes(prompts: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield bodies of ``/v1/route``."""
    for prompt in prompts:
        yield {"prompt": prompt}


def batches(prompts: Iterable[str], size: int) -> Iterator[dict[str, Any]]:
    """Yield bodies of ``/v1/route/batch``, of full batches."""
    batch: list[dict[str, Any]] = []
    for body in routes(prompts):
        batch.append(body)
        if len(batch) == size:
            yield {"requests": batch}
            batch = []


def chats(prompts: Iterable[str], model: str, *, stream: bool = False) -> Iterator[dict[str, Any]]:
    """Yield bodies of ``/v1/chat/completions``."""
    for prompt in prompts:
        body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 64}
        yield {**body, "stream": True, "stream_options": {"include_usage": True}} if stream else body


def write_bodies(path: Path, bodies: Iterable[dict[str, Any]]) -> int:
    """Write bodies as JSON lines, and return how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    encode = msgspec.json.Encoder().encode
    n_lines = 0
    with unfinished.open("wb") as file:
        for body in bodies:
            file.write(encode(body) + b"\n")
            n_lines += 1
    unfinished.replace(path)
    return n_lines
