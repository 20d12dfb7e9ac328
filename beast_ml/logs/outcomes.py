"""Outcomes as dense arrays: the one in-memory form that features, predictors and evaluation share."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import DataError, UnknownModelError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["OutcomeMatrix"]

Floats = NDArray[np.float64]

_MEASURES = ("quality", "cost_usd", "input_tokens", "output_tokens", "latency_s")


@dataclass(frozen=True)
class OutcomeMatrix:
    """Queries x models, sorted by query id and by model name; NaN marks what was not observed.

    A full-information outcome set fills every cell. A routed-request log fills one cell a row (that of the model
    that answered), and then carries what the logging policy did.

    Parameters
    ----------
    query_ids, prompts, tasks
        Length n; ``tasks`` is "" where the source gives none.
    models
        Length m, sorted.
    quality, cost_usd, input_tokens, output_tokens, latency_s
        (n, m) arrays of float64: quality in 0..1, USD, tokens, tokens, seconds.
    """

    query_ids: NDArray[np.str_]
    prompts: tuple[str, ...]
    tasks: NDArray[np.str_]
    models: tuple[str, ...]
    quality: Floats
    cost_usd: Floats
    input_tokens: Floats
    output_tokens: Floats
    latency_s: Floats

    @property
    def n_queries(self) -> int:
        """Number of queries."""
        return len(self.query_ids)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> OutcomeMatrix:
        """Pivot a valid outcome table (one row per query and model) into arrays.

        The result does not depend on the order of the rows. Where a query id comes with several prompts or tasks,
        the smallest in string order is taken.

        Raises
        ------
        DataError
            If a (query, model) pair occurs twice: deduplicate at ingest.
        """
        query_ids, rows = np.unique(frame["query_id"].to_numpy(dtype=str), return_inverse=True)
        models, columns = np.unique(frame["model"].to_numpy(dtype=str), return_inverse=True)
        shape = (len(query_ids), len(models))
        cells = np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1])
        if (cells > 1).any():
            query, model = divmod(int(cells.argmax()), shape[1])
            raise DataError(
                f"query {query_ids[query]!r} has {cells.max()} rows for model {models[model]!r}; "
                "an outcome table has one row per query and model: ingest it first, which removes duplicates"
            )
        arrays = {}
        for name in _MEASURES:
            array = np.full(shape, np.nan)
            if name in frame:
                array[rows, columns] = frame[name].to_numpy(dtype=float, na_value=np.nan)
            arrays[name] = array
        firsts = frame.assign(_row=rows).groupby("_row")
        prompts = tuple(firsts["prompt"].min())
        if "task" in frame:
            tasks = frame["task"].fillna("").astype(str).groupby(rows).min().to_numpy(dtype=str)
        else:
            tasks = np.full(len(query_ids), "")
        return cls(query_ids, prompts, tasks, tuple(models.tolist()), **arrays)

    def pool(self, models: Sequence[str]) -> OutcomeMatrix:
        """Return the same queries with these models only, in sorted order.

        Raises
        ------
        UnknownModelError
            If a model is not in the data.
        """
        unknown = sorted(set(models) - set(self.models))
        if unknown:
            raise UnknownModelError(f"no outcome of model {unknown[0]!r} in the data; it has {', '.join(self.models)}")
        names = tuple(sorted(set(models)))
        index = [self.models.index(name) for name in names]
        return replace(self, models=names, **{name: getattr(self, name)[:, index] for name in _MEASURES})

    def rows(self, index: NDArray[np.bool_] | NDArray[np.intp]) -> OutcomeMatrix:
        """Return the queries that a boolean mask or an index array selects."""
        positions = np.arange(self.n_queries)[index]
        return replace(
            self,
            query_ids=self.query_ids[positions],
            prompts=tuple(self.prompts[i] for i in positions),
            tasks=self.tasks[positions],
            **{name: getattr(self, name)[positions] for name in _MEASURES},
        )

    def digest(self) -> str:
        """Return a sha256 of the whole content; equal data give equal digests whatever their row order was."""
        digest = hashlib.sha256()
        for part in (self.query_ids.tolist(), list(self.prompts), self.tasks.tolist(), list(self.models)):
            digest.update(repr(part).encode())
        for name in _MEASURES:
            digest.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return digest.hexdigest()
