"""What a fleet has one of, how busy a rate makes it, and so where it gives out. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from beast_ml.benchmarks.scale.cost_model import CostModel, Deployment, LeaseCost
from beast_ml.benchmarks.scale.paths import PROVIDER_PATHS
from beast_ml.benchmarks.scale.site import Site
from beast_ml.errors import InputError

__all__ = [
    "FORWARDED_A_STEP",
    "POSTGRES",
    "Demand",
    "Limit",
    "demand",
    "limits_of",
    "shown_us",
    "unmeasured",
    "workers_for",
]

FORWARDED_A_STEP: Final = 10_000.0
"""Outcomes that a worker is shown with one step on the ledger at most; it takes a step a second."""

POSTGRES: Final = "PostgreSQL's {} cores"
"""Name of the limit of its CPU time, the ledger's part included."""

_STORED: Final = ("miss", "miss streamed")
_MOST_PER_S: Final = 1e12
_STEPS: Final = 100


@dataclass(frozen=True)
class Demand:
    """What a request of a mix needs on the mean, with what clients tell about it.

    Parameters
    ----------
    worker_us, host_us
        CPU time of the worker, and of the other processes of its host but compaction.
    valkey_us, postgres_us, wal_bytes
        Of what hosts share.
    idle_host_us, idle_valkey_us, idle_postgres_us
        What a server of one worker costs a second without requests: its steps on the ledger, and its looks; its own CPU
        time, which is in that of requests, left out.
    in_bytes, out_bytes, provider_bytes
        To and from the client, and to and from the provider, which are taken for equal to those.
    shared_bytes
        To and from Valkey.
    log_bytes, rows
        Of the request log.
    waits_for_provider, stores, outcomes
        Shares of requests that call a provider, whose answer is cached, and of which a client tells the outcome.
    """

    worker_us: float
    host_us: float
    valkey_us: float
    postgres_us: float
    wal_bytes: float
    idle_host_us: float
    idle_valkey_us: float
    idle_postgres_us: float
    in_bytes: float
    out_bytes: float
    provider_bytes: float
    shared_bytes: float
    log_bytes: float
    rows: float
    waits_for_provider: float
    stores: float
    outcomes: float

    @property
    def has_valkey(self) -> bool:
        """Whether anything is asked of a Valkey."""
        return bool(self.valkey_us or self.idle_valkey_us)

    @property
    def has_postgres(self) -> bool:
        """Whether anything is asked of a PostgreSQL."""
        return bool(self.postgres_us or self.idle_postgres_us)


@dataclass(frozen=True)
class Limit:
    """Something of which a fleet, or a cell of it, has one.

    Parameters
    ----------
    name
        What it is.
    busy
        From requests a second to the share of its time, or of its capacity, that it is in use; grows with them.
    why
        What fills it.
    serves
        Whether requests suffer when it is full; otherwise only what is learnt from them comes later.
    """

    name: str
    busy: Callable[[float], float]
    why: str
    serves: bool = True

    def rate_at(self, share: float = 1.0) -> float:
        """Return the requests a second at which it is in use to some share; infinite where it never is."""
        low, high = 0.0, 1.0
        while self.busy(high) < share:
            low, high = high, 2.0 * high
            if high > _MOST_PER_S:
                return math.inf
        for _ in range(_STEPS):
            middle = (low + high) / 2.0
            low, high = (middle, high) if self.busy(middle) < share else (low, middle)
        return high

    def needed(self, rate: float, share: float) -> int:
        """Return how many it takes, each for its part of a rate, so that none is in use more than some share."""
        return max(math.ceil(rate / self.rate_at(share) - 1e-9), 1)


def demand(deployment: Deployment, mix: Mapping[str, float]) -> Demand:
    """Return what a request of a mix needs.

    Raises
    ------
    InputError
        If a path of the mix was not measured.
    """
    missing = [name for name in mix if deployment.path(name) is None]
    if missing:
        known = ", ".join(each.path for each in deployment.paths)
        raise InputError(
            f"{', '.join(missing)} was not measured in the deployment {deployment.name!r}; there are {known}"
        )

    def total(*columns: str, paths: tuple[str, ...] | None = None) -> float:
        asked = ((calls, deployment.path(name)) for name, calls in mix.items() if paths is None or name in paths)
        return sum(calls * sum(cost.of(column) for column in columns) for calls, cost in asked if cost is not None)

    def idle(*columns: str) -> float:
        return sum(deployment.idle[column].median for column in columns if column in deployment.idle)

    return Demand(
        worker_us=total("worker_us"),
        host_us=total("supervisor_us", "chores_us", "embedding_us"),
        valkey_us=total("valkey_us"),
        postgres_us=total("postgres_us"),
        wal_bytes=total("postgres_wal_bytes"),
        idle_host_us=idle("supervisor_us", "chores_us", "embedding_us"),
        idle_valkey_us=idle("valkey_us"),
        idle_postgres_us=idle("postgres_us"),
        in_bytes=total("request_bytes"),
        out_bytes=total("answer_bytes"),
        provider_bytes=total("request_bytes", "answer_bytes", paths=PROVIDER_PATHS),
        shared_bytes=total("valkey_bytes"),
        log_bytes=total("log_bytes"),
        rows=sum(mix.values()),
        waits_for_provider=sum(calls for name, calls in mix.items() if name in PROVIDER_PATHS),
        stores=sum(calls for name, calls in mix.items() if name in _STORED),
        outcomes=mix.get("outcomes", 0.0),
    )


def workers_for(need: Demand, rate: float, load: float, site: Site, shown_us: float = 0.0) -> float:
    """Return how many workers are busy to some share of their time at a rate; no whole number.

    Parameters
    ----------
    shown_us
        CPU time in which a worker is shown an outcome that came to another one; see `shown_us`.
    """
    free_us = load * site.speed * 1e6
    alone = rate * need.worker_us / free_us
    if alone <= 1.0:
        return alone  # nobody else is told anything
    free_us -= min(rate * need.outcomes, FORWARDED_A_STEP) * shown_us
    return rate * need.worker_us / free_us if free_us > 0.0 else math.inf


def shown_us(model: CostModel, deployment: Deployment, need: Demand) -> float:
    """Return the CPU time in which each worker of a deployment is shown an outcome; 0 where it was not measured."""
    service = _ledger_in(deployment, need)
    lease = None if service is None else model.lease(service)
    return 0.0 if lease is None else lease.worker_read_us


def _ledger_in(deployment: Deployment, need: Demand) -> str | None:
    """Return the service that has the ledger, PostgreSQL wherever there is one; None where it is in a folder."""
    return None if deployment.name == "alone" else "postgres" if need.has_postgres else "valkey"


def unmeasured(model: CostModel, deployment: Deployment, need: Demand) -> dict[str, str]:
    """Return what a plan of a deployment is made without, and what that does to it."""
    service = _ledger_in(deployment, need)
    found: dict[str, str] = {}
    if service is not None and model.lease(service) is None:
        found[f"the ledger of budgets in plans of {deployment.name}"] = (
            "it was not measured: steps on it and forwarded outcomes may give out before what is named"
        )
    if model.compaction_us is None:
        found["compaction in plans"] = "it was not measured: replicas and stores of the log are planned without it"
    if not model.latency_us:
        found["how requests differ, in plans"] = (
            "it was not measured: each takes what its path takes on the mean, so waits are longer than said"
        )
    return found


def limits_of(model: CostModel, deployment: Deployment, need: Demand, load: float, site: Site) -> tuple[Limit, ...]:
    """Return everything that a fleet of this deployment has one of.

    Parameters
    ----------
    model
        For the cost of the ledger and of compaction.
    deployment
        Which services there are.
    need
        Of a request.
    load
        Share of its time that a worker is busy.
    site
        Machines and limits.
    """

    def workers(rate: float) -> float:
        return workers_for(need, rate, load, site, shown_us(model, deployment, need))

    def forwarded(rate: float) -> float:
        """Return the outcomes a second that come to another worker than the one that decided."""
        return rate * need.outcomes * max(1.0 - 1.0 / max(workers(rate), 1.0), 0.0)

    def ledger_us(lease: LeaseCost | None, rate: float) -> float:
        if lease is None:
            return 0.0
        return forwarded(rate) * (lease.forward_us + lease.read_us * workers(rate))

    found = []
    service = _ledger_in(deployment, need)
    lease = None if service is None else model.lease(service)
    if need.has_valkey:
        of = lease if service == "valkey" else None
        found.append(
            Limit(
                "Valkey's one thread",
                lambda rate: (
                    (rate * need.valkey_us + workers(rate) * need.idle_valkey_us + ledger_us(of, rate))
                    / site.speed
                    / 1e6
                ),
                f"{need.valkey_us:.1f} us a request; a cluster would not help: all keys of the cache have one "
                "hash tag, those of the ledger another",
            )
        )
    if need.has_postgres:
        of_sql = lease if service == "postgres" else None
        found.append(
            Limit(
                POSTGRES.format(site.postgres_cores),
                lambda rate: (
                    (rate * need.postgres_us + workers(rate) * need.idle_postgres_us + ledger_us(of_sql, rate))
                    / site.speed
                    / 1e6
                    / site.postgres_cores
                ),
                f"{need.postgres_us:.1f} us a request; there is one that writes",
            )
        )
        if need.wal_bytes:
            found.append(
                Limit(
                    "PostgreSQL's write-ahead log",
                    lambda rate: rate * need.wal_bytes / (site.postgres_wal_mb_per_s * 1e6),
                    f"{need.wal_bytes:,.0f} bytes a request, {site.postgres_wal_mb_per_s:g} MB/s",
                )
            )
    if lease is not None:
        found.append(
            Limit(
                "steps on the ledger",
                lambda rate: workers(rate) * lease.held_us / site.speed / 1e6,
                f"each worker takes one a second, one after the other, {lease.held_us:,.0f} us each",
            )
        )
        if need.outcomes:
            found.append(
                Limit(
                    "forwarded outcomes",
                    lambda rate: forwarded(rate) / FORWARDED_A_STEP,
                    "an outcome told to a worker that did not decide is shown to all; a step shows "
                    f"{FORWARDED_A_STEP:,.0f}",
                )
            )
    if model.compaction_us:
        us = need.rows * model.compaction_us / site.peak_to_mean  # it must keep up with the mean only
        found.append(
            Limit(
                "one store of all logs",
                lambda rate: rate * us / site.speed / 1e6,
                f"one process compacts: {model.compaction_us:.1f} us a row, {need.rows:.2f} rows a request; "
                "requests go on, training waits",
                serves=False,
            )
        )
    return tuple(found)
