"""What is learnt from: logs; how: the loop; and what may be spent on trying."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PlainValidator

from beast_ml.places import place
from beast_ml.settings.part import Part

__all__ = ["ExplorationSettings", "LearningSettings", "LogSettings"]


class ExplorationSettings(Part):
    """What routers that learn from logs may spend on trying what they know too little.

    Bounds hold for each request, by the router's own predictions; see `beast_ml.policy.exploration.Exploration`.

    Parameters
    ----------
    max_loss
        Expected quality given up, costs counted at the willingness to pay.
    max_extra_cost_usd
        Expected USD beyond what the router's choice costs; None: no bound.
    max_rate
        Probability that another model than the router's choice is taken.
    min_propensity
        Least probability with which a model is tried, so that no off-policy weight is above 1 / this.
    """

    max_loss: float = Field(gt=0, le=1)
    max_extra_cost_usd: float | None = Field(None, ge=0, allow_inf_nan=False)
    max_rate: float = Field(0.2, gt=0, lt=1)
    min_propensity: float = Field(0.01, ge=1e-4, le=0.5)


class LearningSettings(Part):
    """How the loop that improves the router goes; see `beast_ml.operations.learning_loop.config.LoopConfig`.

    Parameters
    ----------
    state
        Folder of its state, and of the drift monitor's.
    every_days
        Days between regular cycles; drift does not wait.
    min_labelled
        New labelled requests before anything is learnt.
    requests
        A candidate learns from so many requests of the log at most; 0: all.
    canary_share, canary_margin
        Share of the users whom a candidate serves, and the harm in quality that they must exclude.
    watch_share, watch_days
        Share of the users whom the former champion keeps after a promotion, and for how long.
    longest_days
        A step that waits longer is given up.
    encoder
        Of the candidates: static, tuned, minilm or hashing.
    """

    state: Path = Path("data/learning")
    every_days: float = Field(7.0, gt=0, allow_inf_nan=False)
    min_labelled: int = Field(1_000, ge=1)
    requests: int = Field(100_000, ge=0)
    canary_share: float = Field(0.2, gt=0, le=0.5)
    canary_margin: float = Field(0.02, ge=0, le=1)
    watch_share: float = Field(0.1, gt=0, le=0.5)
    watch_days: float = Field(7.0, gt=0, allow_inf_nan=False)
    longest_days: float = Field(21.0, gt=0, allow_inf_nan=False)
    encoder: Literal["static", "tuned", "minilm", "hashing"] = "static"


class LogSettings(Part):
    """Where routed-request logs are kept.

    Parameters
    ----------
    store
        Folder of routed requests, Parquet partitioned by day; in an object store (``s3://...``) it can be read only.
    quarantine
        Folder of bad rows, with the reason beside each.
    """

    store: Annotated[Path, PlainValidator(place)] = Path("data/logs")
    quarantine: Path = Path("data/quarantine")
