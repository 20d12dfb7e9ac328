"""How a router learns, as one typed value that a search varies and a file holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import yaml

from beast_ml.errors import InputError
from beast_ml.logs.outcomes import ContextKey
from beast_ml.policy.learner import EncoderName, RouterLearner
from beast_ml.predictors.calibration_choice import CalibrationName
from beast_ml.predictors.families.selection import FamilyName
from beast_ml.predictors.pool import PoolFamilies
from beast_ml.predictors.quality import QUALITY_FAMILIES
from beast_ml.predictors.shrinkage import PRIOR_QUERIES

__all__ = ["LearnerSettings", "read_learner_settings"]

_NETWORK = QUALITY_FAMILIES.network


class LearnerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be chosen of how a router learns; the defaults are those of `RouterLearner`.

    Parameters
    ----------
    encoder, context
        What features are made of: the encoder of the text, and what is read beside it.
    families
        Families of predictors that compete for quality.
    hidden, dropout, weight_decay, task_weight, n_networks
        Shape, regularisation and number of the networks among them; see `NetworkConfig`.
    prior_queries
        Means of tasks and kinds are shrunk as if by so many more queries.
    calibration
        Of the expected quality; None: what is best on rows it did not see.
    quality_target
        Share of the best single model's quality that the operating point must reach, (0, 1].
    """

    encoder: EncoderName = "static"
    context: tuple[ContextKey, ...] = ()
    families: tuple[FamilyName, ...] = QUALITY_FAMILIES.members
    hidden: tuple[int, ...] = _NETWORK.hidden
    dropout: float = _NETWORK.dropout
    weight_decay: float = _NETWORK.weight_decay
    task_weight: float = _NETWORK.task_weight
    n_networks: int = QUALITY_FAMILIES.n_networks
    prior_queries: float = PRIOR_QUERIES
    calibration: CalibrationName | None = None
    quality_target: float = 1.0

    def __post_init__(self) -> None:
        within = {
            "dropout": 0.0 <= self.dropout < 1.0,
            "weight_decay": self.weight_decay >= 0.0,
            "task_weight": self.task_weight > 0.0,
            "n_networks": self.n_networks >= 1,
            "prior_queries": self.prior_queries > 0.0,
            "quality_target": 0.0 < self.quality_target <= 1.0,
            "hidden": all(width >= 1 for width in self.hidden),
        }
        for name, is_within in within.items():
            if not is_within:
                # What msgspec makes its own error of, with the field's value in it.
                raise ValueError(f"`{name}` == {getattr(self, name)} is out of its range")

    def families_of(self, families: PoolFamilies) -> PoolFamilies:
        """Return families in which quality is learnt as these settings say; amounts stay as they are."""
        network = replace(
            families.quality.network,
            hidden=self.hidden,
            dropout=self.dropout,
            weight_decay=self.weight_decay,
            task_weight=self.task_weight,
        )
        quality = replace(
            families.quality,
            members=self.families,
            network=network,
            n_networks=self.n_networks,
            prior_queries=self.prior_queries,
            calibration=self.calibration,
        )
        return replace(families, quality=quality)

    def applied_to(self, learner: RouterLearner) -> RouterLearner:
        """Return the learner with these settings; what they do not speak of stays as it is."""
        return replace(
            learner,
            encoder=self.encoder,
            context=self.context,
            families=self.families_of(learner.families),
            quality_target=self.quality_target,
        )

    def to_yaml(self) -> str:
        """Return the settings as a file holds them."""
        return yaml.safe_dump(msgspec.to_builtins(self), sort_keys=False)


def read_learner_settings(path: Path) -> LearnerSettings:
    """Return the settings of a YAML file; what it leaves out has its default.

    Raises
    ------
    InputError
        If the file cannot be read, or says what is no setting.
    """
    try:
        told = yaml.safe_load(path.read_text("utf-8"))
        return msgspec.convert(told or {}, LearnerSettings)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise InputError(
            f"cannot use {path} as settings of a router: {error}; `beast tune router` writes such a file"
        ) from error
