"""Nearest entries in PostgreSQL, with pgvector: the search that all hosts share, beside the SQL tier's entries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.dialects import postgresql

from beast_ml.cache.tiers.sql_tables import ENTRIES
from beast_ml.errors import InputError, UnavailableError

__all__ = ["SqlVectors"]

_LOCK: Final = 0x6265617376
_MOST: Final = 2000
"""Dimensions that pgvector indexes."""


class _Vector(sa.types.UserDefinedType[str]):
    """The type ``vector(n)``; values are its texts, such as ``[0.5,1]``."""

    cache_ok = True

    def __init__(self, n: int) -> None:
        self.n = n

    def get_col_spec(self, **_: Any) -> str:
        return f"vector({self.n})"


class SqlVectors:
    """Embeddings of the entries of a `SqlTier` in PostgreSQL; an entry that leaves takes its own along.

    Parameters
    ----------
    engine
        The tier's; its tables must be there: the tier makes them at its first call.
    n_dimensions
        Of the embeddings.
    clock
        Seconds since the epoch.
    approximate
        Whether a graph (HNSW) is searched, which is faster where a partition has very many entries, makes writing
        slower, and may miss a near one. Without it the search is exact.
    """

    def __init__(
        self, engine: sa.Engine, n_dimensions: int, *, clock: Callable[[], float], approximate: bool = False
    ) -> None:
        if engine.dialect.name != "postgresql":
            raise InputError(
                f"vectors are searched in PostgreSQL, not in {engine.dialect.name}: keep an index in memory"
            )
        if not 1 <= n_dimensions <= _MOST:
            raise InputError(f"`n_dimensions` == {n_dimensions}, must be in [1, {_MOST}]")
        self._engine, self._n, self._clock, self._approximate = engine, n_dimensions, clock, approximate
        self._prepared = False
        tables = sa.MetaData()
        ENTRIES.to_metadata(tables)
        self._vectors = sa.Table(
            f"cache_vectors_{n_dimensions}",
            tables,
            sa.Column(
                "entry_id", sa.Text, sa.ForeignKey("cache_entries.entry_id", ondelete="CASCADE"), primary_key=True
            ),
            sa.Column("partition", sa.LargeBinary, nullable=False, index=True),
            sa.Column("embedding", _Vector(n_dimensions), nullable=False),
        )

    def put_many(self, rows: Sequence[tuple[str, bytes, NDArray[np.floating[Any]]]]) -> int:
        """Keep embeddings of entries: id, partition and vector of each; return how many of the entries are here.

        Raises
        ------
        InputError
            If a vector has another length, or is not finite.
        UnavailableError
            If the server is away, or has no pgvector.
        """
        values = {name: (name, partition, self._text(vector)) for name, partition, vector in rows}
        if not values:
            return 0
        table = self._vectors
        with self._connected() as connection:
            here = connection.scalars(
                # Locked, so that none leaves before its vector has come.
                sa.select(ENTRIES.c.entry_id)
                .where(ENTRIES.c.entry_id.in_(list(values)))
                .with_for_update(key_share=True)
            ).all()
            if here:
                columns = ("entry_id", "partition", "embedding")
                insert = postgresql.insert(table).values([dict(zip(columns, values[n], strict=True)) for n in here])
                replaced = {name: insert.excluded[name] for name in columns[1:]}
                connection.execute(insert.on_conflict_do_update(index_elements=["entry_id"], set_=replaced))
        return len(here)

    def near(self, partition: bytes, vector: NDArray[np.floating[Any]], k: int) -> list[tuple[str, float]]:
        """Return the ids of the ``k`` nearest entries of a partition, with their cosines, the nearest first."""
        if k < 1:
            raise InputError(f"`k` == {k}, must be >= 1")
        table = self._vectors
        distance: sa.ColumnElement[float] = table.c.embedding.op("<=>", return_type=sa.Double())(
            sa.cast(self._text(vector), _Vector(self._n))
        )
        query = (
            sa.select(table.c.entry_id, distance.label("distance"))
            .join(ENTRIES, ENTRIES.c.entry_id == table.c.entry_id)
            .where(table.c.partition == partition, ENTRIES.c.expires_at > self._clock())
            .order_by(distance)
            .limit(k)
        )
        with self._connected() as connection:
            if self._approximate:  # goes on until enough are of the partition
                connection.exec_driver_sql("SET LOCAL hnsw.iterative_scan = strict_order")
            return [(row.entry_id, 1.0 - float(row.distance)) for row in connection.execute(query)]

    def _text(self, vector: NDArray[np.floating[Any]]) -> str:
        numbers = np.asarray(vector, dtype=np.float32)
        if numbers.shape != (self._n,) or not np.isfinite(numbers).all() or not numbers.any():
            raise InputError(
                f"an embedding is of shape {numbers.shape}, must be of {self._n} finite numbers that are not all zero"
            )
        return "[" + ",".join(map(repr, numbers.tolist())) + "]"

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        where = self._engine.url.render_as_string()
        try:
            if not self._prepared:
                self._prepare()
                self._prepared = True
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as error:
            self._prepared = False
            raise UnavailableError(f"the vectors in {where} do not answer ({str(error).splitlines()[0]})") from error

    def _prepare(self) -> None:
        """Make the extension, the table and its indexes where they are not there."""
        name = self._vectors.name
        with self._engine.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            if not connection.scalar(sa.text("SELECT count(*) FROM pg_extension WHERE extname = 'vector'")):
                self._make_extension(connection)
            self._vectors.metadata.create_all(connection, tables=[self._vectors])
            if self._approximate:
                connection.exec_driver_sql(
                    f"CREATE INDEX IF NOT EXISTS {name}_hnsw ON {name} USING hnsw (embedding vector_cosine_ops)"
                )

    def _make_extension(self, connection: sa.Connection) -> None:
        try:
            connection.exec_driver_sql("CREATE EXTENSION vector")
        except sa.exc.DBAPIError as error:
            if connection.invalidated:
                raise
            raise UnavailableError(
                f"the database {self._engine.url.database} has no extension `vector`, and it cannot be made here "
                f"({str(error).splitlines()[0]}): install pgvector on the server, and let an administrator run "
                "`CREATE EXTENSION vector` in the database"
            ) from error
