"""Variants, and observations of an experiment whose truth is known, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import numpy as np

from beast_ml.experiments.definitions import Variant
from beast_ml.experiments.observations import Observations

__all__ = ["NOW", "arms", "observations"]

NOW: Final = datetime(2026, 11, 1, tzinfo=UTC)
"""The time of the tests."""


def arms(**shares: float) -> tuple[Variant, ...]:
    """Return variants by their shares: the champion is the control, the challenger all others."""
    return tuple(
        Variant(name=name, policy="champion" if name == "control" else "challenger", share=share)
        for name, share in shares.items()
    )


def observations(
    n: int = 4_000,
    effects: Mapping[str, float] | None = None,
    *,
    origin: float = 0.0,
    covariate: float | None = None,
    seed: int = 0,
) -> Observations:
    """Return normal values of n units, drawn for the control and each variant alike, one a minute.

    Parameters
    ----------
    n
        Units.
    effects
        Variant -> what it adds, in standard deviations; default: one variant that adds nothing.
    origin
        Mean of the control.
    covariate
        Correlation of a covariate with the value; None: there is none.
    seed
        Of the draws.
    """
    added = {"new": 0.0} if effects is None else dict(effects)
    rng = np.random.default_rng(seed)
    names = ("control", *sorted(added))
    variant = rng.integers(len(names), size=n)
    values = rng.normal(size=(n, 1))
    if covariate is not None:
        known = covariate * values + (1.0 - covariate**2) ** 0.5 * rng.normal(size=(n, 1))
        values = np.concatenate([values, known], axis=1)
    values[:, 0] += origin + np.array([0.0, *(added[name] for name in names[1:])])[variant]
    times = np.datetime64("2026-03-01", "us") + np.arange(n) * np.timedelta64(1, "m")
    covariates = () if covariate is None else ("known",)
    return Observations(names, variant, np.arange(n), values, times, np.ones(n), covariates)
