"""How requests are served, and what may be spent."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from beast_ml.settings.part import Part

__all__ = ["BudgetSettings", "ServingSettings"]


class BudgetSettings(Part):
    """A limit on what may be spent.

    Parameters
    ----------
    scope
        ``global``, each ``tenant``, or each ``user`` of a tenant.
    key
        The tenant, or ``tenant/user``; ``*``: each one has this budget for itself.
    period
        ``day`` or ``month``, UTC.
    limit_usd
        The hard limit: what would overspend it is refused.
    soft_share
        The share of it from which on cheaper models are preferred, more and more.
    """

    scope: Literal["global", "tenant", "user"]
    key: str = "*"
    period: Literal["day", "month"] = "day"
    limit_usd: float = Field(ge=0, allow_inf_nan=False)
    soft_share: float = Field(0.8, gt=0, le=1)


class ServingSettings(Part):
    """How `beast serve` serves.

    Parameters
    ----------
    router
        Bundle folder, or registry address whose alias is followed.
    state
        Folder of what must outlive a restart: segments of the request log, keys, budgets, the last good bundle.
    poll_s
        Seconds between looks at the registry.
    max_body_bytes, max_json_depth
        Larger or deeper requests are refused.
    requests_per_s
        Of each tenant; None: no limit.
    drain_s
        Seconds that requests in flight get to end when the server is told to stop.
    prompts
        What the log keeps of a prompt: ``keep`` its text, ``hash`` it with a key, or ``withhold`` it.
    prompts_of
        The same, for single tenants.
    sync_s
        Seconds after which a logged row is on the disk (and not just with the operating system) at the latest.
    compact_s
        Seconds between compactions of the log's segments into the store; 0: only `beast logs compact` does it.
    keep_logs_days
        Days after which stored requests are deleted; None: never.
    host, port
        Where it listens.
    workers
        Processes; one a core.
    workers_max
        As many as load may raise them to, after seconds; down again after minutes of calm. None: there are `workers`.
    """

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    workers: int = Field(1, ge=1)
    workers_max: int | None = Field(None, ge=1)
    router: str = "models:/beast-router@champion"
    state: Path = Path("data/serving")
    poll_s: float = Field(5.0, gt=0, allow_inf_nan=False)
    max_body_bytes: int = Field(2_000_000, ge=1_000)
    max_json_depth: int = Field(64, ge=4)
    requests_per_s: float | None = Field(None, gt=0, allow_inf_nan=False)
    drain_s: float = Field(30.0, ge=0, allow_inf_nan=False)
    prompts: Literal["keep", "hash", "withhold"] = "keep"
    prompts_of: dict[str, Literal["keep", "hash", "withhold"]] = Field(default_factory=dict)
    sync_s: float = Field(0.2, gt=0, allow_inf_nan=False)
    compact_s: float = Field(300.0, ge=0, allow_inf_nan=False)
    keep_logs_days: int | None = Field(None, ge=1)
