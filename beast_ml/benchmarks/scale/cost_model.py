"""What requests cost, as measured: per path and deployment, in CPU time, bytes, statements and memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from beast_ml.benchmarks.serving.cases import Spread
from beast_ml.errors import InputError

__all__ = ["COLUMNS", "IDLE_COLUMNS", "Check", "CostModel", "Deployment", "LeaseCost", "PathCost", "read_cost_model"]

COLUMNS: Final[Mapping[str, str]] = {
    "worker_us": "CPU us of the worker",
    "supervisor_us": "CPU us of the supervisor",
    "chores_us": "CPU us of the host's other processes",
    "embedding_us": "CPU us of the process that embeds",
    "valkey_us": "CPU us of Valkey",
    "valkey_commands": "commands of Valkey, those that scripts give included",
    "valkey_bytes": "bytes to and from Valkey",
    "postgres_us": "CPU us of PostgreSQL",
    "postgres_statements": "statements of PostgreSQL",
    "postgres_wal_bytes": "bytes of PostgreSQL's write-ahead log",
    "request_bytes": "bytes of the request, headers and all",
    "answer_bytes": "bytes of the answer, headers and all",
    "log_bytes": "bytes of the request log",
}
"""What is measured of a request -> in words."""

IDLE_COLUMNS: Final = tuple(name for name in COLUMNS if name not in ("request_bytes", "answer_bytes"))
"""What a server uses a second without any request."""


class PathCost(msgspec.Struct, frozen=True, kw_only=True):
    """What a request on a path costs.

    Parameters
    ----------
    path
        One of `beast_ml.benchmarks.scale.paths.PATHS`.
    figures
        By the names of `COLUMNS`, each over the repetitions; of all but the worker less what is used without requests.
    echoes
        CPU time of the worker, in bare echoes of the same repetition.
    per_s
        Requests answered a second, by one worker, beside the generator.
    failed
        Requests that were not answered with 2xx.
    """

    path: str
    figures: dict[str, Spread]
    echoes: Spread
    per_s: Spread
    failed: int = 0

    def of(self, name: str) -> float:
        """Return a figure's median; 0 where it was not measured."""
        found = self.figures.get(name)
        return 0.0 if found is None else found.median


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """One way to deploy: alone with its state folder, or with services that hosts share.

    Parameters
    ----------
    name
        One of `beast_ml.benchmarks.scale.deployments.DEPLOYMENTS`.
    paths
        What requests cost.
    idle
        What a server of one worker uses a second without requests, by the names of `IDLE_COLUMNS`.
    worker_mb, others_mb
        Resident memory of a worker at the end, and of the server's other processes together.
    entry_bytes
        Memory of a cached answer: ``worker`` and ``valkey`` resident, ``postgres`` on disk; by what was stored.
    """

    name: str
    paths: tuple[PathCost, ...]
    idle: dict[str, Spread]
    worker_mb: Spread
    others_mb: Spread
    entry_bytes: dict[str, float] = {}

    def path(self, name: str) -> PathCost | None:
        """Return what a path costs; None where it was not measured."""
        return next((each for each in self.paths if each.path == name), None)


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A prediction beside what was measured.

    Parameters
    ----------
    what
        Is predicted, with its unit.
    predicted
        From the cost of one worker.
    measured
        Over the repetitions.
    """

    what: str
    predicted: float
    measured: Spread

    @property
    def error(self) -> float:
        """By how much the prediction is too high, as a share of what was measured."""
        return self.predicted / self.measured.median - 1.0


class LeaseCost(msgspec.Struct, frozen=True, kw_only=True):
    """What one of the two services takes.

    Parameters
    ----------
    service
        ``valkey`` or ``postgres``.
    step_us
        Its CPU time for a worker's step on two accounts that all workers share.
    held_us
        Time in which no other worker's step is taken. Valkey's: the step itself. PostgreSQL's: the step and what its
        client does in the same transaction, in CPU time, for they work in turns; a network between them comes on top.
    forward_us, read_us
        Its CPU time to take in a forwarded outcome, and to show it to one worker.
    worker_read_us
        CPU time of a worker to be shown one.
    """

    service: str
    step_us: float
    held_us: float
    forward_us: float
    read_us: float
    worker_read_us: float = 0.0


class CostModel(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a plan is made from.

    Parameters
    ----------
    machine
        What it was measured on.
    echo_us
        CPU time of a worker that echoes the bodies of ``unseen``.
    deployments
        As far as they were measured.
    latency_us
        Quantiles, at even distances from 0 to 1, of the latency of unseen prompts at a twentieth of the capacity: what
        a request takes that meets no other.
    latency_mean_us
        Its mean.
    compaction_us
        CPU time that `beast logs compact` takes for a row; None: not measured.
    checks
        What the model predicts, beside what was measured.
    leases
        What the ledger of budgets takes in each of the services that may hold it.
    """

    machine: dict[str, Any]
    echo_us: Spread
    deployments: tuple[Deployment, ...]
    latency_us: tuple[float, ...] = ()
    latency_mean_us: float = 0.0
    compaction_us: float | None = None
    checks: tuple[Check, ...] = ()
    leases: tuple[LeaseCost, ...] = ()

    def lease(self, service: str) -> LeaseCost | None:
        """Return what the ledger takes in ``valkey`` or ``postgres``; None where it was not measured."""
        return next((each for each in self.leases if each.service == service), None)

    def deployment(self, name: str) -> Deployment | None:
        """Return a deployment; None where it was not measured."""
        return next((each for each in self.deployments if each.name == name), None)


def read_cost_model(path: Path) -> CostModel:
    """Return the model in a file: a ``report.json`` of `beast bench scale`, or what stands under its ``cost``.

    Raises
    ------
    InputError
        If the file is not there, or holds none.
    """
    try:
        found = msgspec.json.decode(path.read_bytes())
        inner = found.get("cost") if isinstance(found, dict) and "cost" in found else found
        return msgspec.convert(inner, CostModel)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error}; name a report.json of `beast bench scale`") from error
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InputError(
            f"{path} holds no cost model ({error}): name a report.json of `beast bench scale --parts cost`"
        ) from error
