"""What the search may change: parameters as Optuna draws them, and the settings that they make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from beast_ml.logs.outcomes import ContextKey
from beast_ml.policy.learner import EncoderName
from beast_ml.policy.learner_settings import LearnerSettings
from beast_ml.predictors.families.selection import FamilyName
from beast_ml.predictors.quality import QUALITY_FAMILIES

__all__ = ["QUALITY_TARGETS", "SearchSpace"]

QUALITY_TARGETS: Final = (1.0, 0.99, 0.97, 0.95, 0.9)
"""Shares of the best single model's quality at which trials show what they cost."""

_FAMILIES: Final[Mapping[str, tuple[FamilyName, ...]]] = {
    "all": QUALITY_FAMILIES.members,
    "networks": ("task_means", "kind_means", "network"),
    "linear": ("kernel", "ridge", "low_rank"),
    "nearest": ("neighbours", "ridge", "kind_means"),
}
_HIDDEN: Final = {"384-128": (384, 128), "128-64": (128, 64), "256": (256,)}
_CALIBRATIONS: Final = ("best", "platt_common_slope", "platt", "isotonic")


@dataclass(frozen=True)
class SearchSpace:
    """The settings that are searched.

    Parameters
    ----------
    encoders
        Names of encoders; the first is the default one.
    context
        What routers may read beside the text; each is tried with and without.
    """

    encoders: Sequence[EncoderName] = ("static", "tuned", "hashing")
    context: tuple[ContextKey, ...] = ()

    @property
    def defaults(self) -> LearnerSettings:
        """The settings to beat: the product's, with the first encoder."""
        return self.settings(self.default_params)

    @property
    def default_params(self) -> dict[str, Any]:
        """The parameters that make the defaults."""
        usual = LearnerSettings()
        return {
            "encoder": self.encoders[0],
            **{f"use_{key}": False for key in self.context},
            "families": "all",
            "hidden": "384-128",
            "dropout": usual.dropout,
            "weight_decay": usual.weight_decay,
            "task_weight": usual.task_weight,
            "n_networks": usual.n_networks,
            "prior_queries": usual.prior_queries,
            "calibration": "best",
            "quality_target": usual.quality_target,
        }

    def first_changes(self) -> Iterator[dict[str, Any]]:
        """Yield parameters that differ from the defaults in one thing each, what may matter most first."""
        changes: list[tuple[str, Any]] = [(f"use_{key}", True) for key in self.context]
        changes += [("families", "linear"), *(("encoder", name) for name in self.encoders[1:])]
        changes += [("prior_queries", 80.0), ("hidden", "128-64"), ("families", "nearest"), ("dropout", 0.2)]
        for name, value in changes:
            yield {**self.default_params, name: value}

    def draw(self, trial: Any) -> LearnerSettings:
        """Return settings that an Optuna trial draws."""
        params: dict[str, Any] = {"encoder": trial.suggest_categorical("encoder", list(self.encoders))}
        for key in self.context:
            params[f"use_{key}"] = trial.suggest_categorical(f"use_{key}", [False, True])
        params["families"] = trial.suggest_categorical("families", list(_FAMILIES))
        params["hidden"] = trial.suggest_categorical("hidden", list(_HIDDEN))
        params["dropout"] = trial.suggest_float("dropout", 0.1, 0.6)
        params["weight_decay"] = trial.suggest_float("weight_decay", 1e-3, 1.0, log=True)
        params["task_weight"] = trial.suggest_float("task_weight", 0.25, 4.0, log=True)
        params["n_networks"] = trial.suggest_int("n_networks", 1, 4)
        params["prior_queries"] = trial.suggest_float("prior_queries", 2.0, 200.0, log=True)
        params["calibration"] = trial.suggest_categorical("calibration", list(_CALIBRATIONS))
        params["quality_target"] = trial.suggest_categorical("quality_target", list(QUALITY_TARGETS))
        return self.settings(params)

    def settings(self, params: Mapping[str, Any]) -> LearnerSettings:
        """Return the settings that parameters make."""
        calibration = params["calibration"]
        return LearnerSettings(
            encoder=params["encoder"],
            context=tuple(key for key in self.context if params[f"use_{key}"]),
            families=_FAMILIES[params["families"]],
            hidden=_HIDDEN[params["hidden"]],
            dropout=params["dropout"],
            weight_decay=params["weight_decay"],
            task_weight=params["task_weight"],
            n_networks=params["n_networks"],
            prior_queries=params["prior_queries"],
            calibration=None if calibration == "best" else calibration,
            quality_target=params["quality_target"],
        )
