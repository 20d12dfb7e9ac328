"""From drawn numbers to rows of the routed-request log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from beast_ml.logs.arrow_schema import ARROW_TYPES, REQUEST_SCHEMA
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.simulate.config import SimulationConfig
from beast_ml.logs.simulate.failures import ERROR_KINDS, OK, TIMEOUT, Calls
from beast_ml.logs.simulate.latency import LatencyModel, jitter_factor
from beast_ml.logs.simulate.policies import LoggingPolicy
from beast_ml.logs.simulate.text import N_PARAPHRASES, paraphrase
from beast_ml.logs.simulate.traffic import Asked, Traffic

__all__ = ["Drawn", "RowWriter"]

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

_SESSION_US: Final = 30 * 60 * 1_000_000
_BYTES_PER_TOKEN: Final = 4
_ERROR_MEDIAN_S: Final = 0.3
_STATUSES: Final = ("ok", "timeout", "error", "rejected")


@dataclass(frozen=True)
class Drawn:
    """What was drawn for n requests.

    Parameters
    ----------
    first
        Number of the first request.
    received_us
        (n,) microseconds since 1970.
    asked
        Tenant, user and query of each.
    chosen
        (n,) model index, -1 where the request was rejected before routing.
    calls
        The calls made.
    call_normals
        (n, k) standard normal numbers, the noise of each call's latency.
    forms
        (n,) 0 for the query's own prompt, else 1 + the paraphrase's number.
    labelled
        (n,) bool: whether an answer would be labelled.
    label_delay_s
        (n,) seconds from answer to label.
    """

    first: int
    received_us: NDArray[np.int64]
    asked: Asked
    chosen: Indices
    calls: Calls
    call_normals: Floats
    forms: Indices
    labelled: NDArray[np.bool_]
    label_delay_s: Floats


class RowWriter:
    """Turns draws into tables; holds what is the same for every request of a query, tenant or user."""

    def __init__(
        self,
        outcomes: OutcomeMatrix,
        policy: LoggingPolicy,
        traffic: Traffic,
        latency: LatencyModel,
        config: SimulationConfig,
        token: str,
    ) -> None:
        self._outcomes = outcomes
        self._policy = policy
        self._latency = latency
        self._config = config
        self._token = token
        self._models = pa.array(outcomes.models, pa.string())
        self._queries = pa.array(outcomes.query_ids.tolist(), pa.string())
        self._tenants = pa.array(traffic.tenant_ids, pa.string())
        self._users = pa.array(traffic.user_ids, pa.string())
        rows, columns = np.nonzero(policy.candidates)
        offsets = np.searchsorted(rows, np.arange(outcomes.n_queries + 1))
        self._candidates = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), self._models.take(pa.array(columns)))
        named = outcomes.tasks != ""
        keys = pa.array(["task"] * int(named.sum()), pa.string())
        task_offsets = pa.array(np.concatenate([[0], np.cumsum(named)]), pa.int32())
        self._contexts = pa.MapArray.from_arrays(
            task_offsets, keys, pa.array(outcomes.tasks[named].tolist(), pa.string())
        )
        self._input_tokens = _input_tokens(outcomes)

    def request_ids(self, first: int, n: int) -> pa.Array:
        """Return n ids from a number on; two simulations with different seeds share none."""
        numbers = pc.utf8_lpad(pc.cast(pa.array(np.arange(first, first + n)), pa.string()), 9, "0")
        return pc.binary_join_element_wise(f"sim-{self._token}", numbers, "-")

    def truth(self, drawn: Drawn) -> pa.Table:
        """Return which query each request asked, and in which form: the key to its counterfactual outcomes."""
        n = len(drawn.chosen)
        return pa.table(
            {
                "request_id": self.request_ids(drawn.first, n),
                "query_id": self._queries.take(pa.array(drawn.asked.queries)),
                "prompt_form": pa.array(drawn.forms, pa.int8()),
                "routed": pa.array(drawn.chosen >= 0),
            }
        )

    def table(self, drawn: Drawn) -> pa.Table:
        """Return the log rows."""
        n, queries, chosen = len(drawn.chosen), drawn.asked.queries, drawn.chosen
        outcomes, served = self._outcomes, drawn.calls.served
        answered, routed = served >= 0, chosen >= 0
        rows = np.arange(n)
        cell = (queries, np.maximum(served, 0))
        last = np.maximum(drawn.calls.n_calls - 1, 0)
        durations = self._durations(drawn)
        latency = durations[rows, last]
        factor = latency / self._latency.expected_s[cell]
        labelled = answered & drawn.labelled
        feedback_us = drawn.received_us + np.rint((latency + drawn.label_delay_s) * 1e6).astype(np.int64)
        queries_pa = pa.array(queries)
        users = self._users.take(pa.array(drawn.asked.users))
        sessions = pc.cast(pa.array(drawn.received_us // _SESSION_US), pa.string())
        columns: dict[str, pa.Array] = {
            "request_id": self.request_ids(drawn.first, n),
            "received_at": _times(drawn.received_us),
            "tenant_id": self._tenants.take(pa.array(drawn.asked.tenants)),
            "user_id": users,
            "session_id": pc.binary_join_element_wise(users, sessions, "/s"),
            "context": self._contexts.take(queries_pa),
            "prompt": self._prompts(queries, drawn.forms),
            "input_tokens": pa.array(self._input_tokens[queries]),
            "candidates": self._candidates.take(queries_pa),
            "chosen_model": self._model_names(chosen),
            "propensity": pa.array(self._policy.probabilities[queries, np.maximum(chosen, 0)], mask=~routed),
            "policy_version": _constant(self._policy.version, routed),
            "cache_result": pa.repeat("bypass", n),
            "status": pa.array(_STATUSES).take(pa.array(_status_codes(drawn.calls, chosen))),
            "error_kind": _error_kinds(drawn.calls, chosen),
            "attempts": self._attempts(drawn.calls, durations),
            "served_model": self._model_names(served),
            "ttft_s": pa.array(self._latency.ttft_s[cell] * factor, mask=~answered),
            "latency_s": pa.array(latency, mask=~answered),
            "output_tokens": _integers(outcomes.output_tokens[cell], answered),
            "cost_usd": _floats(outcomes.cost_usd[cell], answered),
            "quality": _floats(outcomes.quality[cell], labelled),
            "quality_source": _constant(self._config.labels.source, labelled),
            "feedback_at": _times(feedback_us, mask=~labelled),
        }
        return pa.Table.from_arrays(
            [columns.get(field.name, pa.nulls(n, field.type)) for field in REQUEST_SCHEMA], schema=REQUEST_SCHEMA
        )

    def _durations(self, drawn: Drawn) -> Floats:
        """Seconds of every call: the answer's own latency, the wait until a timeout, the time to an error."""
        calls, failures = drawn.calls, self._config.failures
        expected = self._latency.expected_s[drawn.asked.queries[:, None], np.maximum(calls.models, 0)]
        answer = expected * jitter_factor(drawn.call_normals, self._config.latency.jitter)
        error = _ERROR_MEDIAN_S * np.exp(0.5 * drawn.call_normals)
        return np.where(calls.results == OK, answer, np.where(calls.results == TIMEOUT, failures.timeout_s, error))

    def _attempts(self, calls: Calls, durations: Floats) -> pa.Array:
        made = np.arange(calls.models.shape[1]) < calls.n_calls[:, None]
        results = calls.results[made]
        fields: dict[str, pa.Array] = {
            "model": self._models.take(pa.array(calls.models[made])),
            "status": pa.array(("ok", "timeout", "error")).take(pa.array(np.minimum(results, 2))),
            "error_kind": pa.array((None, *ERROR_KINDS[1:]), pa.string()).take(pa.array(results)),
            "latency_s": pa.array(durations[made]),
        }
        structs = pa.StructArray.from_arrays(list(fields.values()), fields=list(ARROW_TYPES["attempts"].value_type))
        offsets = np.concatenate([[0], np.cumsum(calls.n_calls)])
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), structs)

    def _model_names(self, models: Indices) -> pa.Array:
        return self._models.take(pa.array(np.maximum(models, 0), mask=models < 0))

    def _prompts(self, queries: Indices, forms: Indices) -> pa.Array:
        codes, inverse = np.unique(queries * (N_PARAPHRASES + 1) + forms, return_inverse=True)
        texts = []
        for code in codes.tolist():
            query, form = divmod(code, N_PARAPHRASES + 1)
            prompt = self._outcomes.prompts[query]
            texts.append(paraphrase(prompt, form - 1) if form else prompt)
        return pa.array(texts, pa.string()).take(pa.array(inverse))


def _input_tokens(outcomes: OutcomeMatrix) -> NDArray[np.int64]:
    """Tokens of each query: the median over models, or a quarter of the prompt's bytes where no model reports any."""
    estimate = np.array([-(-len(prompt.encode()) // _BYTES_PER_TOKEN) for prompt in outcomes.prompts], dtype=float)
    known = ~np.isnan(outcomes.input_tokens)
    median = estimate.copy()
    some = known.any(axis=1)
    median[some] = np.nanmedian(outcomes.input_tokens[some], axis=1)
    return np.asarray(np.rint(median).astype(np.int64))


def _status_codes(calls: Calls, chosen: Indices) -> NDArray[np.int8]:
    codes = np.minimum(calls.last_results, 2)
    return np.where(chosen < 0, 3, codes).astype(np.int8)


def _error_kinds(calls: Calls, chosen: Indices) -> pa.Array:
    names = pa.array((None, *ERROR_KINDS[1:], "admission"), pa.string())
    return names.take(pa.array(np.where(chosen < 0, len(ERROR_KINDS), calls.last_results)))


def _times(microseconds: NDArray[np.int64], mask: NDArray[np.bool_] | None = None) -> pa.Array:
    return pa.array(microseconds, pa.int64(), mask=mask).cast(ARROW_TYPES["time"])


def _floats(values: Floats, keep: NDArray[np.bool_]) -> pa.Array:
    return pa.array(values, mask=~keep | np.isnan(values))


def _integers(values: Floats, keep: NDArray[np.bool_]) -> pa.Array:
    mask = ~keep | np.isnan(values)
    return pa.array(np.where(mask, 0, np.rint(values)).astype(np.int64), mask=mask)


def _constant(value: Any, keep: NDArray[np.bool_]) -> pa.Array:
    return pa.array([value], pa.string()).take(pa.array(np.zeros(len(keep), dtype=np.int64), mask=~keep))
