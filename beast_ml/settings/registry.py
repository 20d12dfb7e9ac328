"""Where MLflow is, and what it lets become champion."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from beast_ml.settings.part import Part

__all__ = ["GateSettings", "TrackingSettings"]


class TrackingSettings(Part):
    """Where MLflow keeps runs and models.

    Parameters
    ----------
    uri
        SQLite file, or address of an MLflow server.
    artifacts
        Folder of a SQLite registry's files.
    experiment
        In which runs are recorded.
    """

    uri: str = "sqlite:///mlflow.db"
    artifacts: Path = Path("mlartifacts")
    experiment: str = "beast-ml"


class GateSettings(Part):
    """What a router must prove before it becomes champion.

    Parameters
    ----------
    quality_margin
        Most quality that it may lose (95% bound) when it costs less.
    max_excess_ece
        Most calibration error beyond what sampling alone gives.
    min_coverage, max_coverage
        Bounds of the share of costs inside their 90% intervals.
    min_test_queries
        With fewer nothing is proved.
    """

    quality_margin: float = Field(0.01, ge=0, le=1)
    max_excess_ece: float = Field(0.03, ge=0, le=1)
    min_coverage: float = Field(0.80, ge=0, le=1)
    max_coverage: float = Field(0.98, ge=0, le=1)
    min_test_queries: int = Field(200, ge=1)
