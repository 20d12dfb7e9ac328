"""The routed-request log as an Arrow schema: the one form in which log rows lie on disk."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from beast_ml.logs.schema import REQUEST_COLUMNS, ColumnType

__all__ = ["ARROW_TYPES", "REQUEST_SCHEMA"]

ARROW_TYPES: Final[dict[ColumnType, pa.DataType]] = {
    "string": pa.string(),
    "float": pa.float64(),
    "int": pa.int64(),
    "time": pa.timestamp("us", tz="UTC"),
    "strings": pa.list_(pa.string()),
    "map": pa.map_(pa.string(), pa.string()),
    "attempts": pa.list_(
        pa.struct(
            [
                ("model", pa.string()),
                ("status", pa.string()),
                ("error_kind", pa.string()),
                ("latency_s", pa.float64()),
            ]
        )
    ),
}
"""What each column type of `beast_ml.logs.schema` is in Arrow."""

REQUEST_SCHEMA: Final[pa.Schema] = pa.schema(
    [pa.field(name, ARROW_TYPES[kind], nullable=not required) for name, (kind, required) in REQUEST_COLUMNS.items()]
)
"""One row per request, in the order of `REQUEST_COLUMNS`."""
