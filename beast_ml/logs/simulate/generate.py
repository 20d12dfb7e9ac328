"""The generator: requests arrive, a policy chooses, models answer or fail, labels come later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from beast_ml.errors import NotEnoughDataError
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.simulate.arrivals import arrivals
from beast_ml.logs.simulate.config import LabelConfig, SimulationConfig
from beast_ml.logs.simulate.failures import call_models, failure_rates
from beast_ml.logs.simulate.latency import latency_model
from beast_ml.logs.simulate.policies import logging_policy
from beast_ml.logs.simulate.rows import Drawn, RowWriter
from beast_ml.logs.simulate.text import N_PARAPHRASES
from beast_ml.logs.simulate.traffic import build_traffic

__all__ = ["SimulatedChunk", "Simulation", "simulate"]

Floats = NDArray[np.float64]

# One stream of random numbers for each thing that is drawn: changing one part of a configuration (say the label
# share) leaves all other draws as they were, and the size of the chunks changes nothing at all.
_STREAMS = (
    "token",
    "traffic",
    "latency",
    "failures",
    "arrivals",
    "reject",
    "ask",
    "choose",
    "call",
    "jitter",
    "form",
    "label",
    "delay",
)


@dataclass(frozen=True)
class SimulatedChunk:
    """Consecutive requests.

    Parameters
    ----------
    requests
        Rows of the routed-request log, in order of arrival.
    truth
        For the same requests: ``request_id, query_id, prompt_form`` (0 = the query's own prompt), ``routed``. With
        the outcome table it gives the outcome that every candidate would have had.
    queries
        (n,) row of each request's query in the outcome matrix.
    """

    requests: pa.Table
    truth: pa.Table
    queries: NDArray[np.intp]


class Simulation:
    """A log that can be generated, again and again, always the same.

    Parameters
    ----------
    outcomes
        The outcomes every candidate would have. A query's candidates are the models whose quality is known for it;
        queries with too few are never asked.
    config
        How the log behaves.
    rng
        Where all randomness comes from; it must have been made from a seed (`numpy.random.default_rng`).

    Raises
    ------
    UnknownModelError
        If the configuration names a model that is not in the outcome set.
    NotEnoughDataError
        If no query has enough candidates.
    """

    def __init__(self, outcomes: OutcomeMatrix, config: SimulationConfig, rng: np.random.Generator) -> None:
        self.outcomes = outcomes
        self.config = config
        self._seeds = dict(zip(_STREAMS, rng.bit_generator.seed_seq.spawn(len(_STREAMS)), strict=True))  # type: ignore[attr-defined]
        self.policy = logging_policy(outcomes, config.policy)
        needed = min(config.min_candidates, len(outcomes.models))
        usable = np.asarray(self.policy.candidates.sum(axis=1) >= needed)
        if not usable.any():
            raise NotEnoughDataError(f"no query has {needed} models of known quality: there is nothing to choose")
        self.traffic = build_traffic(outcomes.tasks, usable, config.traffic, self._stream("traffic"))
        self.latency = latency_model(outcomes, config.latency, self._stream("latency"))
        self.failure_rates = failure_rates(outcomes.models, config.failures, self._stream("failures"))
        token = self._stream("token").bytes(4).hex()
        self._rows = RowWriter(outcomes, self.policy, self.traffic, self.latency, config, token)

    def chunks(self) -> Iterator[SimulatedChunk]:
        """Yield the log from its beginning, ``config.chunk_rows`` requests at a time.

        Raises
        ------
        DataError
            If a trace of arrivals cannot be used.
        """
        config = self.config
        streams = {name: self._stream(name) for name in _STREAMS}
        clock = arrivals(config.arrivals, config.requests, streams["arrivals"])
        for first in range(0, config.requests, config.chunk_rows):
            n = min(config.chunk_rows, config.requests - first)
            received = config.arrivals.start_us + np.floor(clock.take(n) * 1e6).astype(np.int64)
            drawn = self._draw(first, received, streams)
            yield SimulatedChunk(self._rows.table(drawn), self._rows.truth(drawn), drawn.asked.queries)

    def _draw(self, first: int, received_us: NDArray[np.int64], streams: dict[str, np.random.Generator]) -> Drawn:
        config, n, most = self.config, len(received_us), self.config.failures.max_attempts
        asked = self.traffic.ask(streams["ask"].random((n, 4)))
        chosen = self.policy.choose(asked.queries, streams["choose"].random(n))
        chosen[streams["reject"].random(n) < config.traffic.rejected_rate] = -1
        calls = call_models(
            asked.queries,
            chosen,
            self.policy,
            self.failure_rates,
            config.failures,
            streams["call"].random((n, most)),
        )
        return Drawn(
            first=first,
            received_us=received_us,
            asked=asked,
            chosen=chosen,
            calls=calls,
            call_normals=streams["jitter"].standard_normal((n, most)),
            forms=_forms(streams["form"].random(n), config.traffic.paraphrase_share),
            labelled=streams["label"].random(n) < config.labels.share,
            label_delay_s=_delays(streams["delay"], n, config.labels),
        )

    def _stream(self, name: str) -> np.random.Generator:
        return np.random.default_rng(self._seeds[name])


def simulate(outcomes: OutcomeMatrix, config: SimulationConfig, rng: np.random.Generator) -> Iterator[pa.Table]:
    """Yield the rows of a simulated routed-request log, in order of arrival, a table per chunk.

    Use `Simulation` for the truth behind the log, `write_simulation` for files.

    Raises
    ------
    UnknownModelError
        If the configuration names a model that is not in the outcome set.
    NotEnoughDataError
        If no query has enough candidates.
    """
    for chunk in Simulation(outcomes, config, rng).chunks():
        yield chunk.requests


def _forms(uniforms: Floats, share: float) -> NDArray[np.intp]:
    """0 for the query's own prompt, else 1 + the number of a paraphrase, each as likely as the others."""
    number = np.floor(np.minimum(uniforms / max(share, np.finfo(float).tiny), 1.0) * N_PARAPHRASES)
    return np.where(uniforms < share, 1 + np.minimum(number, N_PARAPHRASES - 1), 0).astype(np.intp)


def _delays(rng: np.random.Generator, n: int, config: LabelConfig) -> Floats:
    mean_s = config.mean_delay_h * 3600.0
    if config.delay == "exponential":
        return np.asarray(mean_s * rng.standard_exponential(n))
    return np.asarray(mean_s * np.exp(rng.standard_normal(n) - 0.5))
