"""Production-like routed-request logs whose counterfactuals are known, made from any outcome table."""

from beast_ml.logs.simulate.config import (
    ArrivalConfig,
    FailureConfig,
    LabelConfig,
    LatencyConfig,
    PolicyConfig,
    SimulationConfig,
    TrafficConfig,
)
from beast_ml.logs.simulate.generate import SimulatedChunk, Simulation, simulate
from beast_ml.logs.simulate.write import SimulationSummary, write_simulation

__all__ = [
    "ArrivalConfig",
    "FailureConfig",
    "LabelConfig",
    "LatencyConfig",
    "PolicyConfig",
    "SimulatedChunk",
    "Simulation",
    "SimulationConfig",
    "SimulationSummary",
    "TrafficConfig",
    "simulate",
    "write_simulation",
]
