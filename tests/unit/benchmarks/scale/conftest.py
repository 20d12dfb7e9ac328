"""A cost model with round numbers."""

import pytest

from beast_ml.benchmarks.scale.cost_model import Check, CostModel, Deployment, LeaseCost, PathCost
from beast_ml.benchmarks.serving.cases import Spread


def exactly(value):
    return Spread(value, value, value)


def path_cost(name, worker_us, **figures):
    known = {"worker_us": worker_us, "request_bytes": 400.0, "answer_bytes": 600.0, "log_bytes": 1000.0, **figures}
    return PathCost(
        path=name,
        figures={column: exactly(value) for column, value in known.items()},
        echoes=exactly(worker_us / 20.0),
        per_s=exactly(1e6 / worker_us),
    )


def deployment(name="alone", paths=(), idle=None, entries=None):
    return Deployment(
        name=name,
        paths=tuple(paths),
        idle={column: exactly(value) for column, value in (idle or {}).items()},
        worker_mb=exactly(200.0),
        others_mb=exactly(100.0),
        entry_bytes=entries or {},
    )


ROUTES = (
    path_cost("unseen", 200.0),
    path_cost("seen", 100.0),
    path_cost("outcomes", 50.0),
    path_cost("feedback", 50.0),
)
SHARED = (
    *(path_cost(name, us, postgres_us=10.0, valkey_us=2.0) for name, us in (("unseen", 220.0), ("seen", 120.0))),
    *(path_cost(name, 60.0, postgres_us=10.0) for name in ("outcomes", "feedback")),
    *(
        path_cost(name, us, postgres_us=20.0, postgres_wal_bytes=500.0, valkey_us=10.0, valkey_bytes=1500.0)
        for name, us in (("miss", 500.0), ("miss streamed", 600.0), ("hit", 100.0), ("hit streamed", 150.0))
    ),
)
LEASES = (
    LeaseCost(service="postgres", step_us=1500.0, held_us=5000.0, forward_us=20.0, read_us=4.0),
    LeaseCost(service="valkey", step_us=100.0, held_us=100.0, forward_us=5.0, read_us=2.0),
)


@pytest.fixture
def model() -> CostModel:
    return CostModel(
        machine={"cpu": "a CPU", "cores": 2, "load_average": "0.1 0.1 0.1"},
        echo_us=exactly(20.0),
        deployments=(
            deployment(paths=ROUTES),
            deployment(
                "shared",
                SHARED,
                {"worker_us": 100.0, "postgres_us": 1000.0, "valkey_us": 50.0},
                {"worker": 3000.0, "valkey": 1000.0, "postgres": 2000.0},
            ),
        ),
        compaction_us=20.0,
        checks=(Check(what="a figure", predicted=11.0, measured=exactly(10.0)),),
        leases=LEASES,
    )
