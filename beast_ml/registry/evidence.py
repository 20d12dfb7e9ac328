"""What a router's test part proved: the one input of the promotion gates."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from beast_ml.errors import InputError

__all__ = ["Evidence", "Interval"]


class Interval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mean with its 95% interval, from a bootstrap that resamples queries in pairs.

    Parameters
    ----------
    low, high
        Its ends.
    """

    mean: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in (self.mean, self.low, self.high)) or self.low > self.high:
            raise InputError(
                f"an interval of {self.mean} in [{self.low}, {self.high}], must be finite with low <= high"
            )


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a router did on queries it was not trained on, at the operating point chosen on the training part.

    Parameters
    ----------
    source
        ``outcomes``: every candidate's outcome is known for each test query. ``log``: only the chosen model's is, and
        the figures are off-policy estimates.
    reference
        What the gain and the saving are measured against: the best single model, or the policy that wrote the log.
    n_train_queries, n_test_queries
        Queries learned from, and queries the figures below are computed on; from a log, the effective number of
        questions that speak of the router's decisions.
    router_quality, router_cost
        Means per query of the router; quality in 0..1, cost in ``cost_unit``.
    best_single_model, best_single_quality, best_single_cost
        The best single model as chosen on the training part, and its means on the same test queries.
    quality_gain
        Router minus reference.
    cost_saving
        (reference - router) / reference, a fraction; None where cost plays no part.
    quality_ece, quality_ece_floor
        Calibration error of predicted quality, and what sampling alone would give a perfectly calibrated predictor.
    cost_coverage
        Share of realised costs inside the 90% intervals; None where cost plays no part.
    cost_unit
        ``USD`` or ``s``; None where cost plays no part.
    data_digest
        Digest of the data that was trained on.
    logging_policy
        Version of the policy that wrote the log; None for other evidence, and for a log of several policies.

    Raises
    ------
    InputError
        If a figure is out of its range or not finite.
    """

    source: Literal["outcomes", "log"]
    reference: Literal["best_single", "logging_policy"]
    n_train_queries: int
    n_test_queries: int
    router_quality: float
    best_single_model: str
    best_single_quality: float
    quality_gain: Interval
    quality_ece: float
    quality_ece_floor: float
    data_digest: str
    router_cost: float | None = None
    best_single_cost: float | None = None
    cost_saving: Interval | None = None
    cost_coverage: float | None = None
    cost_unit: Literal["USD", "s"] | None = None
    logging_policy: str | None = None

    def __post_init__(self) -> None:
        for name in ("router_quality", "best_single_quality", "quality_ece", "quality_ece_floor", "cost_coverage"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise InputError(f"evidence `{name}` == {value}, must be in 0..1")
        for name in ("router_cost", "best_single_cost", "n_train_queries", "n_test_queries"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise InputError(f"evidence `{name}` == {value}, must be a finite number >= 0")

    @classmethod
    def from_json(cls, text: str) -> Evidence:
        """Return the evidence that `to_json` wrote.

        Raises
        ------
        InputError
            If the text is no evidence of this version.
        """
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, InputError) as error:
            raise InputError(f"cannot read the evidence: {error}") from error

    def to_json(self) -> str:
        """Return the evidence as one line of JSON."""
        return msgspec.json.encode(self).decode()

    def metrics(self) -> dict[str, float]:
        """Return the figures under the names that MLflow shows them by, all starting with ``evidence/``."""
        figures: dict[str, float | None] = {
            "router_quality": self.router_quality,
            "best_single_quality": self.best_single_quality,
            "router_cost": self.router_cost,
            "best_single_cost": self.best_single_cost,
            "quality_ece": self.quality_ece,
            "quality_ece_floor": self.quality_ece_floor,
            "cost_interval_coverage": self.cost_coverage,
            "n_test_queries": self.n_test_queries,
            "n_train_queries": self.n_train_queries,
        }
        for name, interval in (("quality_gain", self.quality_gain), ("cost_saving", self.cost_saving)):
            if interval is not None:
                figures |= {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
        return {f"evidence/{name}": float(value) for name, value in figures.items() if value is not None}

    def rows(self) -> list[tuple[str, str]]:
        """Return what people read: a name and a formatted value per figure."""
        unit = self.cost_unit or ""
        against = self.best_single_model if self.reference == "best_single" else "the logging policy"
        rows = [
            (
                "test queries" if self.source == "outcomes" else "effective questions",
                f"{self.n_test_queries:,} (trained on {self.n_train_queries:,} queries)",
            ),
            ("router", _point(self.router_quality, self.router_cost, unit)),
            (
                f"best single model, {self.best_single_model}",
                _point(self.best_single_quality, self.best_single_cost, unit),
            ),
            (f"quality gain over {against}", _interval(self.quality_gain, "+.4f")),
        ]
        if self.cost_saving is not None:
            rows.append((f"cost saving against {against}", _interval(self.cost_saving, "+.1%")))
        rows.append(
            ("calibration error of quality", f"{self.quality_ece:.4f} (sampling floor {self.quality_ece_floor:.4f})")
        )
        if self.cost_coverage is not None:
            rows.append(("costs inside their 90% intervals", f"{self.cost_coverage:.1%}"))
        return rows


def _point(quality: float, cost: float | None, unit: str) -> str:
    return f"quality {quality:.4f}" + (f", cost {cost:.6g} {unit} a query" if cost is not None else "")


def _interval(interval: Interval, style: str) -> str:
    return f"{interval.mean:{style}} [{interval.low:{style}}, {interval.high:{style}}]"
