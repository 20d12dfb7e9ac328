"""From what a request costs to machines and dollars for a rate, and to what gives out first on the way there. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.scale.cost_model import CostModel, Deployment
from beast_ml.benchmarks.scale.limits import POSTGRES, Demand, Limit, demand, limits_of, shown_us, workers_for
from beast_ml.benchmarks.scale.queueing import highest_load, response_us
from beast_ml.benchmarks.scale.site import Site
from beast_ml.errors import InputError

__all__ = ["Part", "Plan", "make_plan", "service_times_us", "why_no_plan"]

_HOURS: Final = 730.0  # of a month, as cloud providers bill it
_MONTH_S: Final = _HOURS * 3600.0
_ON_THE_WIRE: Final = 1.06  # headers of TCP, IP and Ethernet
_N_DRAWN: Final = 20_000
_BALANCER_GB: Final = 4.0
_SYSTEM_GB: Final = 1.0
_HEADROOM: Final = 1.25
_POSTGRES_GB_PER_CORE: Final = 4.0
_POSTGRES_DISK_GB: Final = 10.0
_STORE_GB: Final = 4.0
_EPSILON: Final = 1e-9


@dataclass(frozen=True)
class Part:
    """One kind of machine of a plan.

    Parameters
    ----------
    name
        What it is.
    units
        How many, spares included.
    cores, memory_gb, disk_gb
        Of all of them together.
    usd_month
        For all of them.
    """

    name: str
    units: int
    cores: float
    memory_gb: float
    disk_gb: float
    usd_month: float


@dataclass(frozen=True)
class Plan:
    """What a rate takes.

    Parameters
    ----------
    rate
        Requests a second at the peak.
    load
        Share of its time that a worker is busy then, with the spare replicas away.
    p95_ms
        Of our own time then, with the spare replicas away; less where they are there and share the load.
    parts
        Machines.
    limits
        What there is one of, at any rate.
    cells
        Into how many the fleet must be cut, each for some tenants and with replicas, spare ones too, and what there is
        one of for itself, so that nothing that serves is busier than it may be; 1: it need not be.
    gbit_per_s
        Over the network at the peak, clients' and providers' bytes together.
    log_gb_day
        Bytes of the request log, of a day at the mean rate.
    connections
        That clients keep open at the peak.
    usd_per_million
        Requests, at the mean rate.
    """

    rate: float
    load: float
    p95_ms: float
    parts: tuple[Part, ...]
    limits: tuple[Limit, ...]
    cells: int
    gbit_per_s: float
    log_gb_day: float
    connections: float
    usd_per_million: float

    @property
    def usd_month(self) -> float:
        """All parts' dollars."""
        return sum(part.usd_month for part in self.parts)

    @property
    def cores(self) -> float:
        """All parts' cores."""
        return sum(part.cores for part in self.parts)

    @property
    def memory_gb(self) -> float:
        """All parts' memory."""
        return sum(part.memory_gb for part in self.parts)

    @property
    def first_to_break(self) -> Limit | None:
        """What gives out for requests at the lowest rate; None where nothing ever does."""
        found = min((each for each in self.limits if each.serves), key=lambda limit: limit.rate_at(), default=None)
        return None if found is None or math.isinf(found.rate_at()) else found

    def part(self, name: str) -> Part:
        """Return a part.

        Raises
        ------
        KeyError
            If there is none of this name.
        """
        return next(part for part in self.parts if part.name == name)


def service_times_us(
    deployment: Deployment, mix: Mapping[str, float], latency_us: tuple[float, ...], seed: int = 0
) -> NDArray[np.float64]:
    """Return (n,) times that requests of a mix, and calls about them, occupy a worker for.

    Each path's CPU time on the mean, varied as the latency of lonely requests is, where that was measured.
    """
    rng = np.random.default_rng(seed)
    names = list(mix)
    calls = np.array([mix[name] for name in names])
    costs = np.array([0.0 if (cost := deployment.path(name)) is None else cost.of("worker_us") for name in names])
    drawn = costs[rng.choice(len(names), _N_DRAWN, p=calls / calls.sum())]
    if not latency_us:
        return drawn
    shape = rng.choice(np.asarray(latency_us), _N_DRAWN)
    return np.asarray(drawn * shape / shape.mean(), dtype=np.float64)


def why_no_plan(
    model: CostModel, deployment: Deployment, mix: Mapping[str, float], site: Site | None = None
) -> str | None:
    """Return why no number of machines keeps a mix to the limit of the p95; None where some does.

    Raises
    ------
    InputError
        If a path was not measured.
    """
    site = Site() if site is None else site
    demand(deployment, mix)
    service = service_times_us(deployment, mix, model.latency_us) / site.speed
    if highest_load(service, site.p95_ms * 1e3) > 0:
        return None
    return (
        f"`p95_ms` == {site.p95_ms:g}: even a request alone takes {np.quantile(service, 0.95) / 1e3:.3g} ms at its "
        "p95; allow more"
    )


def make_plan(
    model: CostModel, deployment: Deployment, mix: Mapping[str, float], rate: float, site: Site | None = None
) -> Plan:
    """Return what a rate takes.

    Parameters
    ----------
    model
        For the shape of latencies, and the cost of compaction and of the ledger.
    deployment
        Whose costs.
    mix
        Calls a request, by path.
    rate
        Requests a second at the peak.
    site
        Machines, limits and prices; None: the defaults.

    Raises
    ------
    InputError
        If the rate is not above 0, a path was not measured, or no load keeps to the limit of the p95.
    """
    site = Site() if site is None else site
    if not rate > 0 or not math.isfinite(rate):
        raise InputError(f"`rate` == {rate!r}, must be requests a second, above 0")
    if (why_not := why_no_plan(model, deployment, mix, site)) is not None:
        raise InputError(why_not)
    need = demand(deployment, mix)
    service = service_times_us(deployment, mix, model.latency_us) / site.speed
    load = min(site.utilisation, highest_load(service, site.p95_ms * 1e3))
    limits = limits_of(model, deployment, need, load, site)
    cells = max((each.needed(rate, site.utilisation) for each in limits if each.serves), default=1)
    stores = max(cells, *(each.needed(rate, site.utilisation) for each in limits if not each.serves), 1)
    mean_rate = rate / site.peak_to_mean
    n_workers = cells * workers_for(need, rate / cells, load, site, shown_us(model, deployment, need))
    parts = (
        _replicas(need, deployment, rate, n_workers, model.compaction_us or 0.0, cells, site),
        _balancers(need, mix, rate, site),
        *_valkey(need, deployment, mean_rate, cells, site),
        *_postgres(need, deployment, limits, rate, cells, site),
        _store(need, mean_rate, stores, site),
    )
    return Plan(
        rate=rate,
        load=load,
        p95_ms=response_us(service, load) / 1e3,
        parts=parts,
        limits=limits,
        cells=cells,
        gbit_per_s=rate * _wire_bytes(need) * 8 / 1e9,
        log_gb_day=mean_rate * need.log_bytes * 86_400 / 1e9,
        connections=rate * need.waits_for_provider * site.provider_s + rate * need.worker_us / 1e6,
        usd_per_million=sum(part.usd_month for part in parts) / (mean_rate * _MONTH_S / 1e6),
    )


def _wire_bytes(need: Demand) -> float:
    return (need.in_bytes + need.out_bytes + need.provider_bytes + need.shared_bytes) * _ON_THE_WIRE


def _part(name: str, units: int, per_unit: tuple[float, float, float], site: Site) -> Part:
    """Return a part of so many units, each of cores, GB of memory and GB of disk."""
    cores, memory_gb, disk_gb = (units * each for each in per_unit)
    hourly = cores * site.usd_per_core_hour + memory_gb * site.usd_per_gb_hour
    return Part(name, units, cores, memory_gb, disk_gb, hourly * _HOURS + disk_gb * site.usd_per_disk_gb_month)


def _replicas(
    need: Demand, deployment: Deployment, rate: float, n_workers: float, compaction_us: float, cells: int, site: Site
) -> Part:
    mean_rate = rate / site.peak_to_mean
    # What is no worker shares the last core: supervisor, chores and the host's own compaction.
    beside_us = rate * need.host_us + mean_rate * need.rows * compaction_us + n_workers * need.idle_host_us
    by_network = rate * _wire_bytes(need) * 8 / 1e9 / (site.gbit_per_s * site.utilisation)
    n_full = max(n_workers / site.workers, beside_us / site.speed / 1e6 / site.utilisation, by_network)
    units = cells * (math.ceil(n_full / cells - _EPSILON) + site.spare)  # a replica is of one cell
    cached_mb = site.worker_cache_mb if need.stores else 0.0  # it fills up, however slowly
    used_mb = site.workers * (deployment.worker_mb.median + cached_mb) + deployment.others_mb.median
    disk_gb = mean_rate * need.log_bytes * 86_400 / 1e9 / units  # a day's segments, until they are compacted
    return _part("replicas", units, (site.cores, _SYSTEM_GB + _HEADROOM * used_mb / 1e3, disk_gb), site)


def _balancers(need: Demand, mix: Mapping[str, float], rate: float, site: Site) -> Part:
    by_calls = rate * sum(mix.values()) / (site.balancer_cores * site.balancer_per_core_s * site.utilisation)
    by_connections = rate * need.waits_for_provider * site.provider_s / site.balancer_connections
    units = math.ceil(max(by_calls, by_connections) - _EPSILON) + 1
    return _part("load balancers", units, (site.balancer_cores, _BALANCER_GB, 0.0), site)


def _valkey(need: Demand, deployment: Deployment, mean_rate: float, cells: int, site: Site) -> list[Part]:
    if not need.has_valkey:
        return []
    cached_gb = _cached_gb(deployment.entry_bytes.get("valkey", 0.0), need, mean_rate, site)
    # A second one of each, to take over.
    return [_part("Valkey", 2 * cells, (1.0, _SYSTEM_GB + _HEADROOM * cached_gb / cells, 0.0), site)]


def _postgres(
    need: Demand, deployment: Deployment, limits: Sequence[Limit], rate: float, cells: int, site: Site
) -> list[Part]:
    if not need.has_postgres:
        return []
    cpu = next(each for each in limits if each.name == POSTGRES.format(site.postgres_cores))
    cores = max(math.ceil(cpu.busy(rate / cells) * site.postgres_cores / site.utilisation - _EPSILON), 2)
    cached_gb = _cached_gb(deployment.entry_bytes.get("postgres", 0.0), need, rate / site.peak_to_mean, site)
    unit = (float(cores), cores * _POSTGRES_GB_PER_CORE, _HEADROOM * cached_gb / cells + _POSTGRES_DISK_GB)
    return [_part("PostgreSQL", 2 * cells, unit, site)]


def _cached_gb(entry_bytes: float, need: Demand, mean_rate: float, site: Site) -> float:
    """Return what the answers of a life take, at most what tenants may keep."""
    return min(mean_rate * need.stores * site.life_s * entry_bytes / 1e9, site.tenants * site.tenant_mb / 1e3)


def _store(need: Demand, mean_rate: float, stores: int, site: Site) -> Part:
    kept_gb = mean_rate * need.log_bytes * 86_400 * site.keep_days / 1e9
    return _part("stores of the log", stores, (1.0, _STORE_GB, kept_gb / stores), site)
