"""The words of the field as small frozen types; standard library and msgspec only."""

from beast_ml.domain.candidate import CandidateModel, Price
from beast_ml.domain.clock import Clock, SystemClock
from beast_ml.domain.decision import Explanation, Forecast, ModelForecast, RoutingDecision
from beast_ml.domain.objective import Objective
from beast_ml.domain.request import RoutingRequest

__all__ = [
    "CandidateModel",
    "Clock",
    "Explanation",
    "Forecast",
    "ModelForecast",
    "Objective",
    "Price",
    "RoutingDecision",
    "RoutingRequest",
    "SystemClock",
]
