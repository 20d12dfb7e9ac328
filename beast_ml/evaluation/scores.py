"""What one router scored: every metric with its interval, ready for a report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.bootstrap import Estimate
from beast_ml.evaluation.calibration import QualityCalibration, calibrate_quality
from beast_ml.evaluation.cost_accuracy import CostAccuracy, assess_cost
from beast_ml.evaluation.decisions import RouterDecisions
from beast_ml.evaluation.routing_metrics import Points, Scoreboard
from beast_ml.evaluation.strong_calls import strong_call_metrics
from beast_ml.policy.utility import Predictions, choose, tradeoff_label

__all__ = ["RouterScore", "score_oracle", "score_router", "score_zero_router"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RouterScore:
    """The metrics of one router on the scored queries.

    Parameters
    ----------
    name
        The router.
    reads
        What it sees of a query.
    points
        Its curve, on the data and on every resample.
    labels
        Trade-off of each point; empty for a router without one.
    curve
        Metrics of the whole curve.
    operating
        Metrics of the operating point; empty for the zero router, which has none.
    shares
        Model -> share of the test queries it gets at the operating point, models without any left out.
    strong_calls
        APGR and CPT, for pools of two models.
    calibration, cost_accuracy
        Of its predictions, for routers that predict per query; None for the others.
    """

    name: str
    reads: str
    points: Points
    labels: tuple[str, ...]
    curve: dict[str, Estimate]
    operating: dict[str, Estimate]
    shares: dict[str, float]
    strong_calls: dict[str, Estimate]
    calibration: QualityCalibration | None = None
    cost_accuracy: CostAccuracy | None = None

    def to_dict(self) -> dict[str, object]:
        """Return the score for a report; each metric with its interval."""
        points = zip(self.labels, self.points.cost[0].tolist(), self.points.quality[0].tolist(), strict=False)
        report: dict[str, object] = {"reads": self.reads}
        report |= {name: estimate.to_dict() for name, estimate in self.curve.items()}
        if self.operating:
            report["operating"] = {name: estimate.to_dict() for name, estimate in self.operating.items()}
            report["operating_model_shares"] = self.shares
        if self.strong_calls:
            report["strong_calls"] = {name: estimate.to_dict() for name, estimate in self.strong_calls.items()}
        if self.calibration is not None:
            report["calibration"] = self.calibration.to_dict()
        if self.cost_accuracy is not None:
            report["cost_accuracy"] = self.cost_accuracy.to_dict()
        if self.labels:
            report["curve"] = [{"tradeoff": t, "cost": c, "quality": q} for t, c, q in points]
        return report


def score_router(
    board: Scoreboard,
    decisions: RouterDecisions,
    scored: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    predicts: bool,
    costs: bool,
) -> RouterScore:
    """Return the score of a router's decisions.

    Parameters
    ----------
    scored
        (n,) which test queries the scoreboard holds.
    predicts
        Whether its predictions vary with the query, so that calibration, cost and ranking can be judged.
    costs
        Whether cost plays a part in the run.
    """
    models = decisions.predictions.models
    points = board.points(decisions.points[:, scored])
    said = decisions.predictions
    quality = said.quality[scored]
    strong_calls: dict[str, Floats] = {}
    if predicts and len(models) == 2:
        strong, weak = board.reference, 1 - board.reference
        advantage = quality[:, strong] - quality[:, weak]
        strong_calls = strong_call_metrics(advantage, board.quality[:, weak], board.quality[:, strong], board.bootstrap)
    counts = np.bincount(decisions.operating, minlength=len(models))
    return RouterScore(
        name=decisions.name,
        reads=decisions.reads,
        points=points,
        labels=tuple(tradeoff_label(w) for w in decisions.willingness),
        curve=_estimates(board.curve_metrics(points)),
        operating=_estimates(board.point_metrics(decisions.operating[scored])),
        shares={models[i]: float(counts[i] / counts.sum()) for i in np.flatnonzero(counts)},
        strong_calls=_estimates(strong_calls),
        calibration=calibrate_quality(models, quality, board.quality, board.bootstrap, rng) if predicts else None,
        cost_accuracy=_cost_accuracy(board, said, scored) if predicts and costs else None,
    )


def _cost_accuracy(board: Scoreboard, said: Predictions, scored: NDArray[np.bool_]) -> CostAccuracy:
    expected = said.cost[scored]
    if said.cost_range is None:
        return assess_cost(said.models, expected, board.cost, board.bootstrap)
    span = said.cost_range.rows(scored)
    return assess_cost(said.models, expected, board.cost, board.bootstrap, span.typical, span.holds(board.cost))


def score_zero_router(board: Scoreboard) -> RouterScore:
    """Return the score of the best mixtures of single models, in hindsight; it has no operating point."""
    metrics = board.curve_metrics(board.singles)
    # Single models come in no order: the last of them is not the best.
    metrics |= {"aiq": board.zero_aiq, "best_quality": board.singles.quality.max(axis=1)}
    metrics["share_of_gap"] = np.where(np.isnan(metrics["share_of_gap"]), np.nan, 0.0)
    reads = "test outcomes: a reference"
    return RouterScore("zero_router", reads, board.singles, (), _estimates(metrics), {}, {}, {})


def score_oracle(board: Scoreboard, models: tuple[str, ...]) -> RouterScore:
    """Return the score of the router that sees every outcome; its operating point maximises realised utility."""
    realised = Predictions(models, board.quality, board.cost)
    operating = choose(realised, board.willingness).astype(np.int16)
    counts = np.bincount(operating, minlength=len(models))
    return RouterScore(
        name="oracle",
        reads="test outcomes: a reference",
        points=board.oracle,
        labels=(),
        curve=_estimates(board.curve_metrics(board.oracle)),
        operating=_estimates(board.point_metrics(operating)),
        shares={models[i]: float(counts[i] / counts.sum()) for i in np.flatnonzero(counts)},
        strong_calls={},
    )


def _estimates(statistics: dict[str, Floats]) -> dict[str, Estimate]:
    return {name: Estimate.of(values) for name, values in statistics.items()}
