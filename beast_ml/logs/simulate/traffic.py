"""Who asks what: tenants of Zipf sizes with their own task mixes, users, and queries of Zipf popularity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beast_ml.logs.simulate.config import TrafficConfig

__all__ = ["Asked", "Traffic", "build_traffic"]

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Asked:
    """Per request: the index of its tenant, user and query.

    Parameters
    ----------
    tenants, users, queries
        (n,) indices each.
    """

    tenants: Indices
    users: Indices
    queries: Indices


@dataclass(frozen=True)
class Traffic:
    """The population that requests are drawn from.

    Parameters
    ----------
    tenant_shares
        (t,) share of the requests of each tenant, falling.
    tasks
        (k,) task names.
    task_mixes
        (t, k) share of each task in a tenant's requests.
    queries
        Query indices, grouped by task.
    popularity
        Cumulative popularity along ``queries``, from 0.
    task_bounds
        (k + 1,) where each task's queries begin along ``queries``.
    user_weights
        Cumulative activity of all users, grouped by tenant, from 0.
    user_bounds
        (t + 1,) where each tenant's users begin.
    """

    tenant_shares: Floats
    tasks: tuple[str, ...]
    task_mixes: Floats
    queries: Indices
    popularity: Floats
    task_bounds: Indices
    user_weights: Floats
    user_bounds: Indices

    @property
    def tenant_ids(self) -> list[str]:
        """Names of the tenants, largest first."""
        return [f"tenant-{i:03d}" for i in range(len(self.tenant_shares))]

    @property
    def user_ids(self) -> list[str]:
        """Names of all users, grouped by tenant."""
        owners = np.repeat(np.arange(len(self.tenant_shares)), np.diff(self.user_bounds))
        numbers = np.arange(len(owners)) - self.user_bounds[owners]
        return [f"tenant-{owner:03d}/user-{n:05d}" for owner, n in zip(owners.tolist(), numbers.tolist(), strict=True)]

    def ask(self, uniforms: Floats) -> Asked:
        """Return who asks what, given (n, 4) numbers uniform on [0, 1)."""
        tenants = _inverse(np.concatenate([[0.0], np.cumsum(self.tenant_shares)]), uniforms[:, 0])
        users = _inverse_within(self.user_weights, self.user_bounds, tenants, uniforms[:, 1])
        mixes = np.cumsum(self.task_mixes, axis=1)[tenants]
        tasks = (mixes[:, :-1] / mixes[:, -1:] <= uniforms[:, 2, None]).sum(axis=1)
        positions = _inverse_within(self.popularity, self.task_bounds, tasks, uniforms[:, 3])
        return Asked(tenants, users, self.queries[positions])


def build_traffic(
    tasks: NDArray[np.str_], usable: NDArray[np.bool_], config: TrafficConfig, rng: np.random.Generator
) -> Traffic:
    """Return a population over the usable queries of an outcome set, given the task of every query."""
    usable_queries = np.flatnonzero(usable)
    names, codes = np.unique(tasks[usable_queries], return_inverse=True)
    order = np.argsort(codes, kind="stable")
    queries = usable_queries[order]
    per_task = np.bincount(codes, minlength=len(names))
    ranks = rng.permutation(len(queries)) + 1.0
    tenant_shares = _zipf(config.tenants, config.tenant_zipf)
    # A Dirichlet draw whose mean is the outcome set's own mix; the floor keeps the smallest tasks alive numerically.
    concentration = np.maximum(config.task_concentration * len(names) * per_task / len(queries), 1e-3)
    n_users = np.maximum(1, np.round(config.users * tenant_shares)).astype(np.intp)
    activity = np.concatenate([_zipf(int(n), config.user_zipf) for n in n_users])
    return Traffic(
        tenant_shares=tenant_shares,
        tasks=tuple(names.tolist()),
        task_mixes=rng.dirichlet(concentration, size=config.tenants),
        queries=queries,
        popularity=np.concatenate([[0.0], np.cumsum(ranks**-config.repeat_zipf)]),
        task_bounds=np.concatenate([[0], np.cumsum(per_task)]),
        user_weights=np.concatenate([[0.0], np.cumsum(activity)]),
        user_bounds=np.concatenate([[0], np.cumsum(n_users)]),
    )


def _zipf(n: int, exponent: float) -> Floats:
    weights = np.arange(1, n + 1, dtype=float) ** -exponent
    return np.asarray(weights / weights.sum())


def _inverse(cumulative: Floats, uniforms: Floats) -> Indices:
    """Draw indices from a cumulative weight that begins with 0."""
    found = np.searchsorted(cumulative, uniforms * cumulative[-1], side="right") - 1
    return np.asarray(np.minimum(found, len(cumulative) - 2))


def _inverse_within(cumulative: Floats, bounds: Indices, groups: Indices, uniforms: Floats) -> Indices:
    """Draw indices from the stretch of a cumulative weight that belongs to each row's group."""
    low, high = cumulative[bounds[groups]], cumulative[bounds[groups + 1]]
    found = np.searchsorted(cumulative, low + uniforms * (high - low), side="right") - 1
    return np.clip(found, bounds[groups], bounds[groups + 1] - 1)
