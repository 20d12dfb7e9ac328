"""One typed `Settings`, read once from ``mlflow.yaml`` and ``BEAST_*`` variables.

``mlflow.yaml`` is looked for in the working directory, then at the path in ``BEAST_CONFIG``; without either the
built-in defaults hold. A variable wins over the file: ``BEAST_TRACKING__URI`` sets ``tracking.uri``. Only the
command line, the pipelines and the application factory read settings; library code is handed its own frozen part.
"""

from __future__ import annotations

from beast_ml.settings.cache import CacheSettings
from beast_ml.settings.candidates import CandidateSettings, EndpointSettings
from beast_ml.settings.everything import Settings
from beast_ml.settings.learning import ExplorationSettings, LearningSettings, LogSettings
from beast_ml.settings.load import load_settings
from beast_ml.settings.registry import GateSettings, TrackingSettings
from beast_ml.settings.serving import BudgetSettings, ServingSettings

__all__ = [
    "BudgetSettings",
    "CacheSettings",
    "CandidateSettings",
    "EndpointSettings",
    "ExplorationSettings",
    "GateSettings",
    "LearningSettings",
    "LogSettings",
    "ServingSettings",
    "Settings",
    "TrackingSettings",
    "load_settings",
]
