"""A feature matrix on disk, with the spec that makes its rows again: for looking at, and for learning elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import DataError
from beast_ml.executors import Executor
from beast_ml.features.encoder import Encoder
from beast_ml.features.spec import FeatureBuilder, FeatureSpec
from beast_ml.logs.outcomes import ContextKey, OutcomeMatrix

__all__ = ["FEATURES_FILE", "SPEC_FILE", "FeatureTable", "feature_table", "read_feature_table"]

Rows = NDArray[np.float32]

FEATURES_FILE: Final = "features.parquet"
"""The features of a folder."""

SPEC_FILE: Final = "spec.json"
"""What they are, beside them."""


@dataclass(frozen=True)
class FeatureTable:
    """The features of the queries of an outcome set.

    Parameters
    ----------
    query_ids
        Length n.
    rows
        (n, dim) float32, columns in the order of ``spec.names``.
    spec
        What a row is made of.
    """

    query_ids: NDArray[np.str_]
    rows: Rows
    spec: FeatureSpec

    def digest(self) -> str:
        """Return a sha256 of queries, rows and spec: equal digests mean equal features, to the bit."""
        digest = hashlib.sha256(self.spec.hash.encode())
        digest.update(repr(self.query_ids.tolist()).encode())
        digest.update(np.ascontiguousarray(self.rows).tobytes())
        return digest.hexdigest()

    def write(self, folder: Path) -> None:
        """Write ``features.parquet`` (``query_id``, then a float column a feature) and ``spec.json``.

        Raises
        ------
        DataError
            If the folder cannot be written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = dict(zip(self.spec.names, self.rows.T, strict=True))
        table = pa.table({"query_id": pa.array(self.query_ids.tolist(), pa.string()), **columns})
        try:
            folder.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, folder / FEATURES_FILE, compression="zstd")
            (folder / SPEC_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(self.spec)))
        except OSError as error:
            raise DataError(f"cannot write the features to {folder}: {error}") from error


def feature_table(
    outcomes: OutcomeMatrix,
    encoder: Encoder,
    context: Collection[ContextKey] = (),
    executor: Executor | None = None,
) -> FeatureTable:
    """Return the features that a router trained on these outcomes reads, learnt from these queries alone.

    Parameters
    ----------
    outcomes
        Only their query ids and prompts are read; of their contexts, what is named.
    encoder
        Turns prompts into vectors.
    context
        What else that is known of a query becomes features.
    executor
        Has the prompts read by part; None: here, and all at once.
    """
    contexts = outcomes.contexts(context)
    spec = FeatureSpec.learn(encoder, outcomes.prompts, contexts, tuple(context))
    rows = FeatureBuilder(spec, encoder).matrix(outcomes.prompts, contexts, executor=executor)
    return FeatureTable(outcomes.query_ids, rows, spec)


def read_feature_table(folder: Path) -> FeatureTable:
    """Return the features that `FeatureTable.write` wrote.

    Raises
    ------
    DataError
        If there are none, or the file and the spec are not of each other.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        spec = msgspec.json.decode((folder / SPEC_FILE).read_bytes(), type=FeatureSpec)
        table = pq.read_table(folder / FEATURES_FILE)
    except (OSError, pa.ArrowInvalid, msgspec.DecodeError) as error:
        raise DataError(f"no readable features in {folder}: {error}; make them again") from error
    if tuple(table.column_names) != ("query_id", *spec.names):
        raise DataError(f"{FEATURES_FILE} and {SPEC_FILE} in {folder} are of different features: make them again")
    rows = np.column_stack([table[name].to_numpy() for name in spec.names]).astype(np.float32)
    return FeatureTable(np.array(table["query_id"].to_pylist(), dtype=str), rows, spec)
