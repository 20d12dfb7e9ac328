"""What the log hides: the outcome of every candidate, and the true value of policies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from beast_ml.errors import DataError
from beast_ml.logs.simulate.generate import Simulation

if TYPE_CHECKING:
    from beast_ml.logs.outcomes import OutcomeMatrix

__all__ = ["OUTCOMES_FILE", "REQUESTS_FILE", "PolicyValue", "counterfactuals", "outcome_table", "policy_value"]

Floats = NDArray[np.float64]

REQUESTS_FILE: Final = "requests.parquet"
"""What is true of each request."""

OUTCOMES_FILE: Final = "outcomes.parquet"
"""Every model's outcome on each query."""


@dataclass(frozen=True)
class PolicyValue:
    """The mean outcome a policy has on the routed requests of a log, if no call fails.

    Parameters
    ----------
    quality, cost_usd, latency_s
        Means; ``cost_usd`` is None where the outcome set does not know the cost of all it needs.
    share
        Share of the requests the policy can serve: a single model may not be a candidate for every query. The means
        are over these.
    """

    quality: float | None
    cost_usd: float | None
    latency_s: float | None
    share: float


def policy_value(simulation: Simulation, probabilities: Floats, n_asked: NDArray[np.int64]) -> PolicyValue:
    """Return the exact value of a policy, given how often each query was asked.

    Parameters
    ----------
    simulation
        Its outcomes and expected latencies are the truth.
    probabilities
        (n, m) probability of each model on each query; rows sum to one. Only candidates can be served.
    n_asked
        (n,) routed requests of each query.
    """
    weights = np.where(simulation.policy.candidates, probabilities, 0.0) * n_asked[:, None]
    served, asked = weights.sum(), n_asked.sum()
    if served <= 0:
        return PolicyValue(None, None, None, 0.0)
    weights = weights / served

    def mean(values: Floats) -> float | None:
        needed = weights > 0
        return None if np.isnan(values[needed]).any() else float((weights[needed] * values[needed]).sum())

    outcomes = simulation.outcomes
    return PolicyValue(
        mean(outcomes.quality), mean(outcomes.cost_usd), mean(simulation.latency.expected_s), float(served / asked)
    )


def single_model(outcomes: OutcomeMatrix, model: str) -> Floats:
    """Return the (n, m) probabilities of the policy that always takes one model."""
    probabilities = np.zeros(outcomes.quality.shape)
    probabilities[:, outcomes.models.index(model)] = 1.0
    return probabilities


def outcome_table(simulation: Simulation) -> pa.Table:
    """Return the true outcome of every query and candidate.

    Columns ``query_id, task, model, quality, cost_usd, latency_s`` (expected seconds of a call that does not fail),
    ``latency_simulated`` (not from the outcome set), ``output_tokens, failure_rate, logging_probability``.
    """
    rows, columns = np.nonzero(simulation.policy.candidates)
    outcomes, cell = simulation.outcomes, (rows, columns)
    return pa.table(
        {
            "query_id": pa.array(outcomes.query_ids.tolist(), pa.string()).take(pa.array(rows)),
            "task": pa.array(outcomes.tasks.tolist(), pa.string()).take(pa.array(rows)),
            "model": pa.array(outcomes.models, pa.string()).take(pa.array(columns)),
            "quality": outcomes.quality[cell],
            "cost_usd": _nullable(outcomes.cost_usd[cell]),
            "latency_s": simulation.latency.expected_s[cell],
            "latency_simulated": simulation.latency.simulated[cell],
            "output_tokens": _nullable(outcomes.output_tokens[cell]),
            "failure_rate": simulation.failure_rates[columns],
            "logging_probability": simulation.policy.probabilities[cell],
        }
    )


def counterfactuals(folder: Path, request_ids: list[str] | None = None) -> pa.Table:
    """Return what every candidate would have answered: a row per request and candidate.

    Columns ``request_id, query_id, routed`` and those of `outcome_table` but ``query_id``.

    Parameters
    ----------
    folder
        The ``truth`` folder that `write_simulation` wrote.
    request_ids
        Only these requests; all of a large log would be requests x candidates rows.

    Raises
    ------
    DataError
        If the folder does not hold the two truth files.
    """
    try:
        requests = pq.read_table(folder / REQUESTS_FILE, columns=["request_id", "query_id", "routed"])
        outcomes = pq.read_table(folder / OUTCOMES_FILE)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{folder} is not the truth folder of a simulated log: {error}") from error
    if request_ids is not None:
        requests = requests.filter(pa.compute.is_in(requests["request_id"], pa.array(request_ids, pa.string())))
    joined = requests.join(outcomes, keys="query_id", join_type="inner")
    return joined.sort_by([("request_id", "ascending"), ("model", "ascending")])


def _nullable(values: Floats) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))
