"""Where a plan is to run: machines, what they may be loaded with, what they cost. Every default says whence it is."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np

from beast_ml.errors import InputError

__all__ = ["SOURCES", "Site", "peak_to_mean"]

SOURCES: Final = {
    "usd_per_core_hour, usd_per_gb_hour": "list price of AWS Fargate, Linux on x86, us-east-1: 0.04048 a vCPU-hour and "
    "0.004445 a GB-hour; a vCPU is taken for a core like the measured one",
    "usd_per_disk_gb_month": "list price of an AWS gp3 volume, us-east-1",
    "peak_to_mean": "busiest minute over the mean of the whole minutes of Azure's public trace of conversations of "
    "2023, an hour: a day's rhythm is not in it",
    "balancer_per_core_s": "HAProxy 2.3 forwarded 2.04 million requests a second on 64 cores of an AWS "
    "Graviton2 (HAProxy Technologies, 2021); small answers, no TLS",
    "worker_cache_mb, tenant_mb": "defaults of `cache`",
    "balancer_connections, provider_s, tenants, postgres_cores, postgres_wal_mb_per_s": "assumptions: put in your own",
}
"""Parameters -> whence their defaults are."""


@dataclass(frozen=True)
class Site:
    """Machines, limits and prices.

    Parameters
    ----------
    cores
        Of a replica; all but one run a worker, the last is for the supervisor, compaction and the system.
    utilisation
        Most of its time that anything may be busy at the peak.
    p95_ms
        Most that the p95 of our own time may be at the peak; load is kept lower where it must be.
    spare
        Replicas of each cell that may be away at the peak.
    peak_to_mean
        Rates are of the peak; a month's requests are of the mean.
    speed
        Of a core, in those that were measured.
    usd_per_core_hour, usd_per_gb_hour, usd_per_disk_gb_month
        Prices.
    keep_days
        Days that the request log is kept.
    gbit_per_s
        Of a replica's network.
    balancer_cores, balancer_per_core_s, balancer_connections
        Of a load balancer: its cores, requests a core-second, and connections that it holds at most.
    provider_s
        Seconds that a provider takes for an answer: so long a call keeps its connections.
    life_s
        Seconds that an answer is cached.
    worker_cache_mb
        What a worker keeps of the cache in its own memory at most (`cache.memory_mb`).
    tenants, tenant_mb
        Tenants, and what one may keep in each shared tier of the cache.
    postgres_cores, postgres_wal_mb_per_s
        The largest PostgreSQL that is to be had: its cores, and what it can write ahead.
    """

    cores: int = 8
    utilisation: float = 0.6
    p95_ms: float = 5.0
    spare: int = 2
    peak_to_mean: float = 1.52
    speed: float = 1.0
    usd_per_core_hour: float = 0.04048
    usd_per_gb_hour: float = 0.004445
    usd_per_disk_gb_month: float = 0.08
    keep_days: float = 30.0
    gbit_per_s: float = 10.0
    balancer_cores: int = 16
    balancer_per_core_s: float = 31_875.0
    balancer_connections: float = 500_000.0
    provider_s: float = 2.0
    life_s: float = 86_400.0
    worker_cache_mb: float = 256.0
    tenants: int = 100
    tenant_mb: float = 1024.0
    postgres_cores: int = 32
    postgres_wal_mb_per_s: float = 250.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = {"cores": 2, "spare": 0, "peak_to_mean": 1.0}.get(field.name, 0.0)
            if not np.isfinite(value) or value < least or (least == 0.0 and value == 0 and field.name != "spare"):
                raise InputError(
                    f"`{field.name}` == {value!r}, must be {'above' if least == 0 else 'at least'} {least:g}"
                )
        if self.utilisation >= 1:
            raise InputError(f"`utilisation` == {self.utilisation!r}, must be below 1: a full queue never empties")

    @property
    def workers(self) -> int:
        """Workers of a replica."""
        return self.cores - 1


def peak_to_mean(trace: Path, window_s: float = 60.0) -> float:
    """Return the requests of the busiest window of a public trace, over the mean of all its windows.

    Parameters
    ----------
    trace
        Parquet with ``timestamp_s``.
    window_s
        Length of a window; the last one, which is not whole, is left out.
    """
    import pyarrow.parquet as pq

    at_s = pq.read_table(trace, columns=["timestamp_s"])["timestamp_s"].to_numpy()
    counts = np.bincount((at_s // window_s).astype(np.int64))[:-1]
    return float(counts.max() / counts.mean())
