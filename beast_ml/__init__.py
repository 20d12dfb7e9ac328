"""Predictive LLM routing: turn the logs of an LLM router into a better router.

The public names are imported when they are first used, so that ``import beast_ml`` costs next to nothing and a process
that only decides never loads what training needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from beast_ml.version import __version__

if TYPE_CHECKING:
    from beast_ml.domain import CandidateModel, Objective, Price, RoutingDecision
    from beast_ml.errors import BeastError
    from beast_ml.evaluation.routing import evaluate_routing as evaluate
    from beast_ml.logs.ingest_outcomes import read_outcomes
    from beast_ml.logs.outcomes import OutcomeMatrix
    from beast_ml.logs.simulate import simulate
    from beast_ml.logs.store import LogStore
    from beast_ml.operations.training import train
    from beast_ml.policy.learner import RouterLearner
    from beast_ml.serving.router import Router

__all__ = [
    "BeastError",
    "CandidateModel",
    "LogStore",
    "Objective",
    "OutcomeMatrix",
    "Price",
    "Router",
    "RouterLearner",
    "RoutingDecision",
    "__version__",
    "evaluate",
    "read_outcomes",
    "simulate",
    "train",
]

_HOMES: Final = {
    "BeastError": ("beast_ml.errors", "BeastError"),
    "CandidateModel": ("beast_ml.domain", "CandidateModel"),
    "LogStore": ("beast_ml.logs.store", "LogStore"),
    "Objective": ("beast_ml.domain", "Objective"),
    "OutcomeMatrix": ("beast_ml.logs.outcomes", "OutcomeMatrix"),
    "Price": ("beast_ml.domain", "Price"),
    "Router": ("beast_ml.serving.router", "Router"),
    "RouterLearner": ("beast_ml.policy.learner", "RouterLearner"),
    "RoutingDecision": ("beast_ml.domain", "RoutingDecision"),
    "evaluate": ("beast_ml.evaluation.routing", "evaluate_routing"),
    "read_outcomes": ("beast_ml.logs.ingest_outcomes", "read_outcomes"),
    "simulate": ("beast_ml.logs.simulate", "simulate"),
    "train": ("beast_ml.operations.training", "train"),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    module, attribute = _HOMES[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, whether they have been imported yet or not."""
    return sorted({*globals(), *__all__})
