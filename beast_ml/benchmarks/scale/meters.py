"""What processes, services and files have used so far, so that two readings tell what happened between them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

from beast_ml.benchmarks.scale.deployments import Services, connected
from beast_ml.benchmarks.serving.processes import ServerProcess, Usage, process_tree, usage_of

__all__ = ["Meters", "spent"]

_EMBEDDING: Final = b"beast_ml.cache.neighbours"

Reading = dict[str, float]


class Meters:
    """Meters of a server and of what it shares; a context, for it keeps connections open.

    Parameters
    ----------
    server
        The server.
    state
        Its state folder.
    services
        What it shares.
    """

    def __init__(self, server: ServerProcess, state: Path, services: Services) -> None:
        self._server, self._segments, self._services = server, state / "segments", services
        self._connections = ExitStack()
        self._valkey: Any = None
        self._postgres: Any = None

    def __enter__(self) -> Self:
        from beast_ml.databases import valkey_client

        if self._services.valkey is not None:
            self._valkey = valkey_client(self._services.valkey.url, "The benchmark")
            self._connections.callback(self._valkey.close)
        if self._services.postgres is not None:
            self._postgres = self._connections.enter_context(connected(self._services.postgres))
        return self

    def __exit__(self, *_: object) -> None:
        self._connections.close()

    def read(self) -> Reading:
        """Return all that was used so far, in the units of `COLUMNS`."""
        usage, workers = self._server.usage(), set(self._server.workers())
        embedding = {pid for pid in usage if _EMBEDDING in _command(pid)}
        supervisor = {self._server.process.pid} - workers
        found = {
            "worker_us": _cpu_us(usage, workers),
            "supervisor_us": _cpu_us(usage, supervisor),
            "embedding_us": _cpu_us(usage, embedding),
            "chores_us": _cpu_us(usage, usage.keys() - workers - supervisor - embedding),
            "log_bytes": float(sum(path.stat().st_size for path in self._segments.rglob("*") if path.is_file())),
        }
        return found | self._of_valkey() | self._of_postgres()

    def resident_mb(self) -> tuple[float, float]:
        """Return the memory of the largest worker, and of all that are no workers, in megabytes."""
        usage, workers = self._server.usage(), set(self._server.workers())
        largest = max((used.rss_bytes for pid, used in usage.items() if pid in workers), default=0)
        return largest / 1e6, sum(used.rss_bytes for pid, used in usage.items() if pid not in workers) / 1e6

    def stored_bytes(self) -> dict[str, float]:
        """Return what is stored now: in a worker and in Valkey resident, in PostgreSQL on disk."""
        found = {"worker": self.resident_mb()[0] * 1e6}
        if self._valkey is not None:
            found["valkey"] = float(self._valkey.info("memory")["used_memory"])
        if self._postgres is not None:
            size = self._postgres.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
            found["postgres"] = float(size)
        return found

    def _of_valkey(self) -> Reading:
        valkey = self._services.valkey
        if valkey is None or valkey.pid is None:
            return {}
        told = self._valkey.info("stats")
        return {
            "valkey_us": _cpu_us(usage_of([valkey.pid]), [valkey.pid]),
            "valkey_commands": float(told["total_commands_processed"]),
            "valkey_bytes": float(told["total_net_input_bytes"] + told["total_net_output_bytes"]),
        }

    def _of_postgres(self) -> Reading:
        postgres = self._services.postgres
        if postgres is None or postgres.pid is None:
            return {}
        pids = process_tree(postgres.pid)
        told = self._postgres.exec_driver_sql(
            "SELECT (SELECT coalesce(sum(calls), 0) FROM pg_stat_statements), "
            "pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"
        ).one()
        return {
            "postgres_us": _cpu_us(usage_of(pids), pids),
            "postgres_statements": float(told[0]),
            "postgres_wal_bytes": float(told[1]),
        }


def spent(before: Reading, after: Reading, over: float) -> Reading:
    """Return what was used between two readings, each divided by something: requests, or seconds.

    Examples
    --------
    >>> spent({"worker_us": 100.0}, {"worker_us": 500.0}, 4)
    {'worker_us': 100.0}
    """
    return {name: (value - before[name]) / over for name, value in after.items()}


def _cpu_us(usage: dict[int, Usage], pids: Iterable[int]) -> float:
    return sum(usage[pid].cpu_s for pid in pids if pid in usage) * 1e6


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:  # it has ended
        return b""
