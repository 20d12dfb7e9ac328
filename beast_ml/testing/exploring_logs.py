"""Logs of a world that explores, with what every candidate would have answered, for tests of savings and selection."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.logs.simulate.config import FailureConfig, LabelConfig, PolicyConfig, SimulationConfig, TrafficConfig
from beast_ml.logs.simulate.generate import Simulation
from beast_ml.testing.worlds import make_world

__all__ = ["exploring_log", "exploring_requests"]


def exploring_requests(
    seed: int = 0,
    requests: int = 1200,
    *,
    epsilon: float = 0.5,
    failure_rate: float = 0.0,
    label_share: float = 1.0,
    queries: int = 900,
) -> pa.Table:
    """Return the requests of a log that explores three models, dear, medium and cheap, with a share of ``epsilon``."""
    world = make_world(np.random.default_rng(seed), queries)
    config = SimulationConfig(
        requests,
        policy=PolicyConfig("epsilon-greedy", epsilon=epsilon),
        traffic=TrafficConfig(tenants=3, users=30, repeat_zipf=0.3),
        failures=FailureConfig(rate=failure_rate),
        labels=LabelConfig(share=label_share),
    )
    return pa.concat_tables(
        [chunk.requests for chunk in Simulation(world.outcomes, config, np.random.default_rng(seed)).chunks()]
    )


def exploring_log(seed: int = 0, requests: int = 1200, **options: float) -> LoggedOutcomes:
    """Return the same as arrays; see `exploring_requests`."""
    return LoggedOutcomes.from_table(exploring_requests(seed, requests, **options))  # type: ignore[arg-type]
