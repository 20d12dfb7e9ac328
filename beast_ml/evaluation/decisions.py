"""What routers decide for every test query, and the table it is written to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.policy.operating_point import OperatingPoint, choose_operating_point
from beast_ml.policy.utility import Predictions, choose, tradeoff_label, willingness_grid

__all__ = ["DECISION_COLUMNS", "OPERATING", "RouterDecisions", "decide", "write_decisions"]

Floats = NDArray[np.float64]
Choices = NDArray[np.int16]

DECISION_COLUMNS: Final = ("router", "tradeoff", "query_id", "model", "predicted_quality", "predicted_cost_usd")
"""Of `decisions.parquet`, in their order."""

OPERATING: Final = "operating"
"""The trade-off label of the operating point."""


@dataclass(frozen=True)
class RouterDecisions:
    """The decisions of one router on the n test queries.

    Parameters
    ----------
    name
        The router's name in tables and reports.
    reads
        What it sees of a query, in words.
    willingness
        (k,) increasing willingness to pay, in the unit of cost per unit of quality; empty for a router without
        a trade-off to make.
    choices
        (k, n) index of the chosen model.
    operating
        (n,) index of the model chosen at the operating point.
    point
        The operating point, where it was chosen on training data by rule.
    predictions
        (n, m) what it expects of every model.
    """

    name: str
    reads: str
    willingness: Floats
    choices: Choices
    operating: Choices
    point: OperatingPoint | None
    predictions: Predictions

    @property
    def points(self) -> Choices:
        """(k, n) choices that make up its curve: the operating point alone where there is no trade-off."""
        return self.choices if len(self.choices) else self.operating[None, :]


def decide(
    name: str,
    reads: str,
    out_of_fold: Predictions,
    predictions: Predictions,
    quality: Floats,
    cost: Floats,
    quality_target: float = 1.0,
) -> RouterDecisions:
    """Return what a router with these predictions decides.

    Its grid of trade-offs and its operating point come from training data alone.

    Parameters
    ----------
    out_of_fold, quality, cost
        Predictions for and realised outcomes of the training queries.
    predictions
        Predictions for the test queries.
    quality_target
        Of the operating point; see `choose_operating_point`.
    """
    grid = willingness_grid(out_of_fold)
    choices = np.stack([choose(predictions, w) for w in grid]).astype(np.int16)
    point = choose_operating_point(out_of_fold, quality, cost, quality_target)
    if point.willingness_to_pay is None:
        operating = np.full(len(predictions.quality), predictions.models.index(point.model), dtype=np.int16)
    else:
        operating = choose(predictions, point.willingness_to_pay).astype(np.int16)
    return RouterDecisions(name, reads, grid, choices, operating, point, predictions)


def write_decisions(path: Path, query_ids: Sequence[str], routers: Sequence[RouterDecisions], cost_kind: str) -> int:
    """Write one row per router, trade-off and query, in `DECISION_COLUMNS`, and return the number of rows.

    Predicted cost is in the unit of the run's
    cost, which the file's metadata name (``cost``).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    n = len(query_ids)
    names = [router.name for router in routers]
    labels = [*sorted({tradeoff_label(w) for router in routers for w in router.willingness}), OPERATING]
    label_of = {label: i for i, label in enumerate(labels)}
    models = routers[0].predictions.models

    def repeated(dictionary: Sequence[str], codes: NDArray[np.int32]) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(list(dictionary), pa.string()))

    text = pa.dictionary(pa.int32(), pa.string())
    types = (text, text, text, text, pa.float64(), pa.float64())
    schema = pa.schema(list(zip(DECISION_COLUMNS, types, strict=True)))
    rows = 0
    # Without the Arrow schema in the file, readers get plain strings; on disk they are dictionary-encoded anyway.
    with pq.ParquetWriter(path, schema, compression="zstd", store_schema=False) as writer:
        for position, router in enumerate(routers):
            codes = [label_of[tradeoff_label(w)] for w in router.willingness] + [label_of[OPERATING]]
            chosen = np.concatenate([router.choices.reshape(-1, n), router.operating[None, :]]).astype(np.int32)
            queries = np.tile(np.arange(n, dtype=np.int32), len(codes))
            flat = chosen.ravel()
            columns = [
                repeated(names, np.full(flat.size, position, dtype=np.int32)),
                repeated(labels, np.repeat(np.array(codes, dtype=np.int32), n)),
                repeated(query_ids, queries),
                repeated(models, flat),
                pa.array(router.predictions.quality[queries, flat]),
                pa.array(router.predictions.cost[queries, flat]),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            rows += flat.size
        writer.add_key_value_metadata({"cost": cost_kind})
    return rows
