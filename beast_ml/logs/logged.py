"""A routed-request log as arrays: bandit feedback, where only the chosen model's outcome is seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from beast_ml.domain import Price
from beast_ml.errors import NotEnoughDataError
from beast_ml.logs.outcomes import OutcomeMatrix

__all__ = ["LoggedOutcomes"]

_GIVEN_UP: Final = ("cancelled", "rejected")


@dataclass(frozen=True)
class LoggedOutcomes:
    """Routed requests, sorted by request id, with what was decided and what came of it.

    Parameters
    ----------
    matrix
        One row a request (its query id is the request id), one column a model that was ever a candidate; NaN but in
        the cell of the model that answered. Models that answered but were no candidate are columns too.
    candidates
        (n, m) whether the model could have been chosen.
    chosen
        (n,) column of the chosen model.
    served
        (n,) column of the model that answered, -1 where none did. Where it is not the chosen one, the chosen model
        failed, and the cell says nothing of it.
    propensity
        (n,) probability with which the chosen model was chosen, NaN where the log does not know.
    received_at
        (n,) UTC, microseconds.
    tenant
        Length n.
    context
        Length n; the request's key-value pairs.
    policy_version
        (n,) what decided, "" where the log does not say.
    status
        (n,) what became of the request.
    answered_at
        (n,) UTC, microseconds: when the last attempt had ended, NaT where the log does not tell.
    feedback_at
        (n,) UTC, microseconds: when the quality became known, NaT where there is none or the log does not tell.
    n_left_out
        Requests without a choice or without a prompt, which are not in here.
    """

    # Of the log, as far as learning reads them.
    COLUMNS: ClassVar[tuple[str, ...]] = (
        "request_id",
        "received_at",
        "tenant_id",
        "app",
        "context",
        "prompt",
        "input_tokens",
        "candidates",
        "chosen_model",
        "policy_version",
        "propensity",
        "status",
        "attempts",
        "served_model",
        "latency_s",
        "ttft_s",
        "output_tokens",
        "cost_usd",
        "quality",
        "feedback_at",
    )

    matrix: OutcomeMatrix
    candidates: NDArray[np.bool_]
    chosen: NDArray[np.intp]
    served: NDArray[np.intp]
    propensity: NDArray[np.float64]
    received_at: NDArray[np.datetime64]
    tenant: tuple[str, ...]
    context: tuple[dict[str, str], ...]
    policy_version: NDArray[np.str_]
    status: NDArray[np.str_]
    answered_at: NDArray[np.datetime64]
    feedback_at: NDArray[np.datetime64]
    n_left_out: int

    @property
    def failed(self) -> NDArray[np.bool_]:
        """(n,) whether the chosen model failed to answer, though a fallback may have; not if nobody waited for it."""
        return np.not_equal(self.served, self.chosen) & ~self._given_up

    @property
    def _given_up(self) -> NDArray[np.bool_]:
        return np.asarray((self.served < 0) & np.isin(self.status, _GIVEN_UP))

    def failures(self) -> NDArray[np.float64]:
        """Return (n, m): whether the chosen model failed; NaN for the others, and where nobody waited for it."""
        failed = np.full(self.matrix.quality.shape, np.nan)
        failed[np.arange(len(self.chosen)), self.chosen] = np.where(self._given_up, np.nan, self.failed)
        return failed

    def rows(self, index: NDArray[np.bool_]) -> LoggedOutcomes:
        """Return the requests that a boolean mask selects."""
        positions = np.flatnonzero(index)
        return replace(
            self,
            matrix=self.matrix.rows(positions),
            tenant=tuple(self.tenant[i] for i in positions),
            context=tuple(self.context[i] for i in positions),
            **{name: getattr(self, name)[positions] for name in _PER_REQUEST},
        )

    def priced(self, prices: Mapping[str, Price]) -> LoggedOutcomes:
        """Return the same with the costs that nobody billed; see `OutcomeMatrix.priced`."""
        return replace(self, matrix=self.matrix.priced(prices))

    def pool(self, models: Sequence[str]) -> LoggedOutcomes:
        """Return the requests whose chosen model is one of these, with these models as the only candidates.

        An answer of another model reads as none.
        """
        matrix = self.matrix.pool(models)
        kept = [self.matrix.models.index(name) for name in matrix.models]
        position = np.full(len(self.matrix.models) + 1, -1)  # one more, so that -1 stays -1
        position[kept] = np.arange(len(kept))
        pooled = replace(
            self,
            matrix=matrix,
            candidates=self.candidates[:, kept],
            chosen=position[self.chosen],
            served=position[self.served],
        )
        return pooled.rows(pooled.chosen >= 0)

    @classmethod
    def from_table(cls, table: pa.Table) -> LoggedOutcomes:
        """Take what is needed from a table with (at least) the columns in ``COLUMNS``, one row per request id.

        Raises
        ------
        NotEnoughDataError
            If no request has both a choice and a prompt.
        """
        usable = table.filter(pc.and_(pc.is_valid(table["chosen_model"]), pc.is_valid(table["prompt"])))
        usable = usable.sort_by("request_id").combine_chunks()
        if usable.num_rows == 0:
            raise NotEnoughDataError(
                f"none of {table.num_rows} requests has both a chosen model and its prompt: nothing can be learnt "
                "from them; log the prompts, or choose another range of days"
            )
        offered = usable["candidates"].combine_chunks()
        names = pa.chunked_array(
            [*usable["chosen_model"].chunks, *usable["served_model"].chunks, pc.list_flatten(offered)], pa.string()
        )
        models = sorted(set(pc.unique(names).to_pylist()) - {None})
        chosen, served = (_columns(usable[name], models) for name in ("chosen_model", "served_model"))
        candidates = np.zeros((usable.num_rows, len(models)), dtype=bool)
        candidates[pc.list_parent_indices(offered).to_numpy(), _columns(pc.list_flatten(offered), models)] = True
        context = tuple(dict(pairs or []) for pairs in usable["context"].to_pylist())
        received_at = _times(usable["received_at"])
        return cls(
            matrix=_matrix(usable, models, served, context),
            candidates=candidates,
            chosen=chosen,
            served=served,
            propensity=_floats(usable["propensity"]),
            received_at=received_at,
            tenant=tuple(usable["tenant_id"].to_pylist()),
            context=context,
            policy_version=np.array(pc.fill_null(usable["policy_version"], "").to_pylist(), dtype=str),
            status=np.array(usable["status"].to_pylist(), dtype=str),
            answered_at=received_at + _taken(usable),
            feedback_at=_times(usable["feedback_at"]),
            n_left_out=table.num_rows - usable.num_rows,
        )


_PER_REQUEST = (
    "candidates",
    "chosen",
    "served",
    "propensity",
    "received_at",
    "policy_version",
    "status",
    "answered_at",
    "feedback_at",
)


def _matrix(
    usable: pa.Table, models: Sequence[str], served: NDArray[np.intp], context: Sequence[dict[str, str]]
) -> OutcomeMatrix:
    rows = np.flatnonzero(served >= 0)

    def cell(name: str) -> NDArray[np.float64]:
        values = np.full((usable.num_rows, len(models)), np.nan)
        values[rows, served[rows]] = _floats(usable[name])[rows]
        return values

    return OutcomeMatrix(
        query_ids=np.array(usable["request_id"].to_pylist(), dtype=str),
        prompts=tuple(usable["prompt"].to_pylist()),
        tasks=np.array([pairs.get("task", "") for pairs in context], dtype=str),
        apps=np.array(
            [app or pairs.get("app", "") for app, pairs in zip(usable["app"].to_pylist(), context, strict=True)],
            dtype=str,
        ),
        models=tuple(models),
        quality=cell("quality"),
        cost_usd=cell("cost_usd"),
        input_tokens=cell("input_tokens"),
        output_tokens=cell("output_tokens"),
        latency_s=cell("latency_s"),
        ttft_s=cell("ttft_s"),
    )


def _taken(usable: pa.Table) -> NDArray[np.timedelta64]:
    """Return how long all attempts together took; NaT where the duration of one of several is unknown."""
    attempts, latency_s = usable["attempts"].combine_chunks(), _floats(usable["latency_s"])
    request = pc.list_parent_indices(attempts).to_numpy()
    each = pc.struct_field(pc.list_flatten(attempts), "latency_s")
    n = len(latency_s)
    n_attempts = np.bincount(request, minlength=n)
    together = np.bincount(request, _floats(each), minlength=n)
    seconds = np.where((n_attempts == 0) | ((n_attempts == 1) & np.isnan(together)), latency_s, together)
    taken = np.full(n, np.timedelta64("NaT", "us"))
    known = np.isfinite(seconds)
    taken[known] = np.ceil(seconds[known] * 1e6).astype("timedelta64[us]")
    return taken


def _columns(names: Any, models: Sequence[str]) -> NDArray[np.intp]:
    """Return each name's position among the models, -1 for a null."""
    index = pc.index_in(names, pa.array(models, pa.string()))
    positions: NDArray[np.intp] = pc.fill_null(index, -1).to_numpy(zero_copy_only=False).astype(np.intp)
    return positions


def _floats(column: pa.Array | pa.ChunkedArray) -> NDArray[np.float64]:
    filled = pc.fill_null(column.cast(pa.float64()), np.nan)
    return np.asarray(filled, dtype=np.float64)


def _times(column: pa.ChunkedArray) -> NDArray[np.datetime64]:
    return np.asarray(column.to_numpy().astype("datetime64[us]"))
