"""Which policy version a request is decided by, and what that tells.

The names for analysts are imported when they are first used: servers import this package for its assignment alone.

    from beast_ml.experiments import Observations, analyze, reach_verdict
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from beast_ml.experiments.analysis import ExperimentAnalysis, analyze
    from beast_ml.experiments.design import design_for_effect, design_for_units
    from beast_ml.experiments.log_metrics import observe
    from beast_ml.experiments.observations import Observations
    from beast_ml.experiments.plots import draw_experiment
    from beast_ml.experiments.sequential_test import SequentialConfig
    from beast_ml.experiments.verdict import ExperimentVerdict, reach_verdict

__all__ = [
    "ExperimentAnalysis",
    "ExperimentVerdict",
    "Observations",
    "SequentialConfig",
    "analyze",
    "design_for_effect",
    "design_for_units",
    "draw_experiment",
    "observe",
    "reach_verdict",
]

_HOMES: Final = {
    "ExperimentAnalysis": "analysis",
    "ExperimentVerdict": "verdict",
    "Observations": "observations",
    "SequentialConfig": "sequential_test",
    "analyze": "analysis",
    "design_for_effect": "design",
    "design_for_units": "design",
    "draw_experiment": "plots",
    "observe": "log_metrics",
    "reach_verdict": "verdict",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
