"""Outcomes as dense arrays: the one in-memory form that features, predictors and evaluation share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from beast_ml.domain import Price
from beast_ml.errors import DataError, UnknownModelError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MEASURES", "ContextKey", "OutcomeMatrix"]

Floats = NDArray[np.float64]

ContextKey = Literal["task", "app"]
"""What may be known of a request beside its text, and be a feature."""

MEASURES: Final = ("quality", "cost_usd", "input_tokens", "output_tokens", "latency_s", "ttft_s")
"""What is observed of a model on a query; the names of the (n, m) arrays."""

_FACTS: Final[dict[ContextKey, str]] = {"task": "tasks", "app": "apps"}


@dataclass(frozen=True)
class OutcomeMatrix:
    """Queries x models, sorted by query id and by model name; NaN marks what was not observed.

    A full-information outcome set fills every cell. A routed-request log fills one cell a row (that of the model
    that answered), and then carries what the logging policy did.

    Parameters
    ----------
    query_ids, prompts, tasks, apps
        Length n; task and app (the application that asks) are "" where the source gives none.
    models
        Length m, sorted.
    quality, cost_usd, input_tokens, output_tokens, latency_s, ttft_s
        (n, m) arrays of float64: quality in 0..1, USD, tokens, tokens, seconds to the last and to the first token.
    """

    query_ids: NDArray[np.str_]
    prompts: tuple[str, ...]
    tasks: NDArray[np.str_]
    apps: NDArray[np.str_]
    models: tuple[str, ...]
    quality: Floats
    cost_usd: Floats
    input_tokens: Floats
    output_tokens: Floats
    latency_s: Floats
    ttft_s: Floats

    @property
    def n_queries(self) -> int:
        """Number of queries."""
        return len(self.query_ids)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> OutcomeMatrix:
        """Pivot a valid outcome table (one row per query and model) into arrays.

        The result does not depend on the order of the rows. Where a query id comes with several prompts, tasks or
        apps, the smallest in string order is taken.

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
        for name in MEASURES:
            array = np.full(shape, np.nan)
            if name in frame:
                array[rows, columns] = frame[name].to_numpy(dtype=float, na_value=np.nan)
            arrays[name] = array
        firsts = frame.assign(_row=rows).groupby("_row")
        prompts = tuple(firsts["prompt"].min())
        facts = {
            field: frame[key].fillna("").astype(str).groupby(rows).min().to_numpy(dtype=str)
            if key in frame
            else np.full(len(query_ids), "")
            for key, field in _FACTS.items()
        }
        return cls(query_ids, prompts, models=tuple(models.tolist()), **facts, **arrays)

    def contexts(self, keys: Collection[ContextKey]) -> list[dict[str, str]]:
        """Return what is known of each query, of these keys; one that is not known is left out."""
        columns = [(key, getattr(self, field).tolist()) for key, field in _FACTS.items() if key in keys]
        return [{key: values[i] for key, values in columns if values[i]} for i in range(self.n_queries)]

    def with_measures(self, change: Callable[[Floats], Floats], **fields: Any) -> OutcomeMatrix:
        """Return the same with every (n, m) array changed alike, and other fields replaced."""
        changed: dict[str, Any] = {name: change(getattr(self, name)) for name in MEASURES}
        return replace(self, **fields, **changed)

    def priced(self, prices: Mapping[str, Price]) -> OutcomeMatrix:
        """Return the same with the costs that nobody billed, as of a self-hosted model: its price x what it used.

        Models with any recorded cost above zero keep what was recorded. An answer is any of which something is known.
        """
        cost = self.cost_usd.copy()
        for j, name in enumerate(self.models):
            if name in prices and not (cost[:, j] > 0).any():
                price = prices[name]
                used = (
                    (self.input_tokens, price.input_usd_per_mtok / 1e6),
                    (self.output_tokens, price.output_usd_per_mtok / 1e6),
                    (self.latency_s, price.usd_per_s),
                )
                parts = [amounts[:, j] * per_unit for amounts, per_unit in used if per_unit]
                known = (self.quality, self.input_tokens, self.output_tokens, self.latency_s)
                silent = np.all([np.isnan(measure[:, j]) for measure in known], axis=0)
                answered = np.where(silent, np.nan, price.usd_per_request)
                cost[:, j] = sum(parts, answered)
        return replace(self, cost_usd=cost)

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
        return self.with_measures(lambda values: values[:, index], models=names)

    def rows(self, index: NDArray[np.bool_] | NDArray[np.intp]) -> OutcomeMatrix:
        """Return the queries that a boolean mask or an index array selects."""
        positions = np.arange(self.n_queries)[index]
        return self.with_measures(
            lambda values: values[positions],
            query_ids=self.query_ids[positions],
            prompts=tuple(self.prompts[i] for i in positions),
            tasks=self.tasks[positions],
            apps=self.apps[positions],
        )

    def digest(self) -> str:
        """Return a sha256 of the whole content; equal data give equal digests whatever their row order was."""
        digest = hashlib.sha256()
        texts = (self.query_ids, self.prompts, self.tasks, self.apps, self.models)
        for part in texts:
            digest.update(repr([str(text) for text in part]).encode())
        for name in MEASURES:
            digest.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return digest.hexdigest()
