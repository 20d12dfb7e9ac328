"""Calls that fail, and the fallbacks that step in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import UnknownModelError
from beast_ml.logs.simulate.config import FailureConfig
from beast_ml.logs.simulate.policies import LoggingPolicy

__all__ = ["ERROR_KINDS", "OK", "TIMEOUT", "Calls", "call_models", "failure_rates"]

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

OK: Final = 0
"""Code of a call that went well."""

TIMEOUT: Final = 1
"""Code of one that timed out."""

ERROR_KINDS: Final = ("ok", "timeout", "server_error", "rate_limited", "connection")
"""What a result code means; codes from 2 on are errors."""

_N_ERRORS: Final = len(ERROR_KINDS) - 2


@dataclass(frozen=True)
class Calls:
    """The calls made for each of n requests, at most k.

    Parameters
    ----------
    models
        (n, k) model index of each call, -1 where none was made.
    results
        (n, k) index into `ERROR_KINDS`; meaningless where no call was made.
    n_calls
        (n,) calls made.
    """

    models: Indices
    results: NDArray[np.int8]
    n_calls: Indices

    @property
    def served(self) -> Indices:
        """Model that answered, -1 where none did."""
        rows = np.arange(len(self.n_calls))
        last = np.maximum(self.n_calls - 1, 0)
        answered = (self.n_calls > 0) & (self.results[rows, last] == OK)
        return np.where(answered, self.models[rows, last], -1)

    @property
    def last_results(self) -> NDArray[np.int8]:
        """Index into `ERROR_KINDS` of each request's last call."""
        return np.asarray(self.results[np.arange(len(self.n_calls)), np.maximum(self.n_calls - 1, 0)])


def failure_rates(models: Sequence[str], config: FailureConfig, rng: np.random.Generator) -> Floats:
    """Return the probability that a call of each model fails.

    Raises
    ------
    UnknownModelError
        If a rate was given for a model that is not there.
    """
    unknown = sorted(set(config.model_rates) - set(models))
    if unknown:
        raise UnknownModelError(f"a failure rate is given for {unknown[0]!r}; the models are {', '.join(models)}")
    draws = np.exp(config.spread * rng.standard_normal(len(models)) - 0.5 * config.spread**2)
    rates = np.minimum(config.rate * draws, 1.0)
    for model, rate in config.model_rates.items():
        rates[list(models).index(model)] = rate
    return np.asarray(rates)


def call_models(
    queries: Indices, chosen: Indices, policy: LoggingPolicy, rates: Floats, config: FailureConfig, uniforms: Floats
) -> Calls:
    """Return the calls made for each request: the chosen model, then by preference until one answers.

    Parameters
    ----------
    queries, chosen
        (n,) query and chosen model of each request; chosen is -1 where none was chosen, and then nothing is called.
    policy
        Gives the order of fallback; only candidates of the query are called.
    rates
        (m,) probability that a call of each model fails; calls fail independently of each other.
    config
        Share of timeouts and the number of attempts.
    uniforms
        (n, max_attempts) numbers uniform on [0, 1).
    """
    n, most = uniforms.shape
    models = np.full((n, most), -1, dtype=np.intp)
    results = np.zeros((n, most), dtype=np.int8)
    models[:, 0] = chosen
    open_rows = np.flatnonzero(chosen >= 0)
    n_calls = (chosen >= 0).astype(np.intp)
    for attempt in range(most):
        results[open_rows, attempt] = _result(
            uniforms[open_rows, attempt], rates[models[open_rows, attempt]], config.timeout_share
        )
        open_rows = open_rows[results[open_rows, attempt] != OK]
        if attempt + 1 == most or not open_rows.size:
            break
        following = _fallback(policy, queries[open_rows], chosen[open_rows], attempt)
        open_rows, following = open_rows[following >= 0], following[following >= 0]
        models[open_rows, attempt + 1] = following
        n_calls[open_rows] += 1
    return Calls(models, results, n_calls)


def _result(uniforms: Floats, rates: Floats, timeout_share: float) -> NDArray[np.int8]:
    # Of a failed call: uniform on [0, 1).
    position = np.minimum(uniforms / np.maximum(rates, np.finfo(float).tiny), 1.0)
    errors = (position - timeout_share) / max(1.0 - timeout_share, np.finfo(float).tiny)
    kind = 2 + np.clip(errors * _N_ERRORS, 0, _N_ERRORS - 1).astype(np.int8)
    failed = np.where(position < timeout_share, np.int8(TIMEOUT), kind)
    return np.where(uniforms < rates, failed, np.int8(OK)).astype(np.int8)


def _fallback(policy: LoggingPolicy, queries: Indices, chosen: Indices, attempt: int) -> Indices:
    """Return the next model to try after the chosen one and ``attempt`` fallbacks, -1 where none is left."""
    order = policy.preference[queries]
    allowed = np.take_along_axis(policy.candidates[queries], order, axis=1) & (order != chosen[:, None])
    wanted = allowed & (allowed.cumsum(axis=1) == attempt + 1)
    return np.where(wanted.any(axis=1), order[np.arange(len(order)), wanted.argmax(axis=1)], -1)
