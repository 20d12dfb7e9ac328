"""What somebody asks of an experiment: what is left out stays as it is, so that no protection is dropped unsaid."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from beast_ml.experiments.definitions import (
    Experiment,
    Guardrail,
    ShadowPolicy,
    SharesSince,
    StoppedVariant,
    Unit,
    Variant,
)
from beast_ml.experiments.log_metric_names import LogMetric
from beast_ml.experiments.points import Ranges

__all__ = ["ExperimentChange"]


class ExperimentChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A new experiment, or what is to be different of one that there is.

    What is left out stays: guardrails, tenants, the best-arm mode and a shadow outlive a ramp-up. To drop one, say so:
    ``"guardrails": []``, ``"tenants": null``, ``"allocation": "fixed"``, ``"shadow": null``. A new experiment takes the
    defaults of `beast_ml.experiments.definitions.Experiment` instead.

    Parameters
    ----------
    id
        Of the experiment.
    variants
        All that it has from now on; of one that it had, what is not said of its cache stays.
    unit
        Cannot change once it runs.
    tenants
        All that it is for from now on; null: everybody.
    shadow
        Null: none.
    shadow_share
        Of the requests.
    status
        A stopped one stays so until it is said to run.
    layer
        Cannot change once it runs.
    layer_share
        Of the layer's units.
    guardrails
        All that hold from now on.
    allocation, metric
        Who moves shares, and by what.
    layer_ranges, history, stops
        The server writes them; accepted so that what it answers can be sent back, and not used.
    """

    id: str
    variants: tuple[Variant, ...] | UnsetType = UNSET
    unit: Unit | UnsetType = UNSET
    tenants: tuple[str, ...] | UnsetType | None = UNSET
    shadow: ShadowPolicy | UnsetType | None = UNSET
    shadow_share: float | UnsetType = UNSET
    status: Literal["running", "stopped"] | UnsetType = UNSET
    layer: str | UnsetType | None = UNSET
    layer_share: float | UnsetType = UNSET
    guardrails: tuple[Guardrail, ...] | UnsetType = UNSET
    allocation: Literal["fixed", "best-arm"] | UnsetType = UNSET
    metric: LogMetric | UnsetType = UNSET
    layer_ranges: Ranges | UnsetType = UNSET
    history: tuple[SharesSince, ...] | UnsetType = UNSET
    stops: tuple[StoppedVariant, ...] | UnsetType = UNSET

    @classmethod
    def whole(cls, experiment: Experiment) -> ExperimentChange:
        """Return the change that makes an experiment just this one."""
        return cls(**msgspec.structs.asdict(experiment))

    def applied_to(self, before: Experiment | None) -> Experiment:
        """Return the experiment as it is to be.

        Parameters
        ----------
        before
            The one of this id; None: it is a new one.

        Raises
        ------
        InputError
            If that cannot be an experiment.
        """
        given = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not UNSET}
        for written in ("layer_ranges", "history", "stops"):
            given.pop(written, None)
        if before is None:
            return Experiment(**given)
        if "variants" in given:
            caches = {variant.name: variant.cache for variant in before.variants}
            given["variants"] = tuple(
                each if each.cache is not None else msgspec.structs.replace(each, cache=caches.get(each.name))
                for each in given["variants"]
            )
        return msgspec.structs.replace(before, **given)
