"""How soon a router can use a model that it was not trained for: few probes against full retraining.

Each model of a set is held out in turn. The others' router is trained without it, then the model is added on its
prior and some probes of training queries. Two things are measured on test queries: how well its quality is predicted,
and what the enlarged router is worth. The ends of the scale are the same router without the model, and one that was
retrained with all of the model's training outcomes. Only the latter two need as many answers as there are queries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from beast_ml.domain import Price
from beast_ml.evaluation.bootstrap import QueryBootstrap
from beast_ml.evaluation.routing_metrics import Scoreboard
from beast_ml.logs.outcomes import MEASURES, OutcomeMatrix
from beast_ml.logs.splits import holdout_mask
from beast_ml.policy.frontier import share_of_gap
from beast_ml.policy.learner import FittedRouter, realised_cost
from beast_ml.policy.operating_point import best_single_model
from beast_ml.policy.utility import CostKind, Predictions, choose, willingness_grid
from beast_ml.predictors.cost import TokenCostPredictor, recover_prices
from beast_ml.predictors.new_model import PopulationPrior, calibrated_logits
from beast_ml.predictors.onboard import NewCandidate, ProbeAnswers, add_to_pool
from beast_ml.predictors.pool import PoolPredictors
from beast_ml.predictors.probes import choose_probes

__all__ = ["CurvePoint", "NewModelCurve", "draw_new_model_curve", "new_model_curve"]

Floats = NDArray[np.float64]
How = Literal["without", "prior", "chosen", "random", "retrained"]

_TEST_FRACTION: Final = 0.3
_RESAMPLES: Final = 1000
_PUBLISHED_NOISE: Final = 0.03


class RouterFitter(Protocol):
    """Learns a router, as `beast_ml.policy.learner.RouterLearner` does."""

    def fit(self, train: OutcomeMatrix, cost: CostKind, seed: int) -> FittedRouter:
        """Return the fitted router."""
        ...


@dataclass(frozen=True)
class CurvePoint:
    """One way to use a held-out model, on one draw of training and test queries.

    Parameters
    ----------
    model, seed
        Which model was held out, and the draw.
    how
        "without" it, on its "prior", after probes "chosen" or at "random", or "retrained" with all outcomes.
    n_probes
        Of them; 0 where all training outcomes were used, or none.
    brier, auc
        Of its predicted quality on test queries; None without it.
    share_of_gap
        Of the router over the whole pool, from zero router to oracle; None where there is no gap.
    """

    model: str
    seed: int
    how: How
    n_probes: int
    brier: float | None
    auc: float | None
    share_of_gap: float | None


@dataclass(frozen=True)
class NewModelCurve:
    """All points of a set.

    Parameters
    ----------
    points
        Every measurement.
    n_queries, models
        Of the set.
    """

    points: tuple[CurvePoint, ...]
    n_queries: int
    models: tuple[str, ...]

    def summary(self) -> list[dict[str, Any]]:
        """Return a row for each way and number of probes: means over (model, seed), each with its 95% interval.

        Intervals are of the mean over held-out models, by a bootstrap that draws whole models. ``share_gained`` is
        paired with "without" the model.
        """
        base = {(p.model, p.seed): p for p in self.points if p.how == "without"}
        rows = []
        for how, n in sorted(
            {(p.how, p.n_probes) for p in self.points}, key=lambda key: (_ORDER.index(key[0]), key[1])
        ):
            here = [p for p in self.points if (p.how, p.n_probes) == (how, n)]
            columns = {
                "brier": [(p.model, p.brier) for p in here],
                "auc": [(p.model, p.auc) for p in here],
                "share_of_gap": [(p.model, p.share_of_gap) for p in here],
                "share_gained": [(p.model, _difference(p, base[p.model, p.seed])) for p in here],
            }
            rows.append({"how": how, "n_probes": n} | {name: _interval(values) for name, values in columns.items()})
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a report."""
        return {
            "n_queries": self.n_queries,
            "models": list(self.models),
            "summary": self.summary(),
            "points": [asdict(point) for point in self.points],
        }


_ORDER: Final = ("without", "prior", "random", "chosen", "retrained")


def new_model_curve(
    outcomes: OutcomeMatrix,
    learner: RouterFitter,
    *,
    cost: CostKind = "cost_usd",
    models: Sequence[str] | None = None,
    seeds: Sequence[int] = (0, 1),
    n_probes: Sequence[int] = (10, 20, 50, 100, 200),
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> NewModelCurve:
    """Return how soon held-out models can be used.

    The expected quality that the prior is given stands for a published benchmark: the model's mean on the training
    queries, off by a normal error of 0.03. Its price is taken for known, as price lists are; where costs are learnt in
    dollars, so is the ratio of its mean log cost to the pool's.

    Parameters
    ----------
    outcomes
        The pool's outcomes; queries with a missing outcome are left out.
    models
        Which to hold out; default: each in turn.
    seeds
        Of the draws of test queries, random probes and trainings.
    n_probes
        How many probes, besides none.
    progress
        Called with (held-out models done, in all).
    """
    complete = np.isfinite(outcomes.quality).all(axis=1) & np.isfinite(realised_cost(outcomes, cost)).all(axis=1)
    outcomes = outcomes.rows(np.flatnonzero(complete))
    held_out = tuple(models or outcomes.models)
    points: list[CurvePoint] = []
    done = 0
    for seed in seeds:
        test_mask = holdout_mask(outcomes.prompts, _TEST_FRACTION, seed)
        train, test = outcomes.rows(~test_mask), outcomes.rows(test_mask)
        board = _scoreboard(train, test, cost)
        whole = learner.fit(train, cost, seed)
        for model in held_out:
            points += _one_model(train, test, board, whole, learner, cost, model, seed, n_probes)
            done += 1
            progress(done, len(seeds) * len(held_out))
    return NewModelCurve(tuple(points), outcomes.n_queries, outcomes.models)


def _one_model(
    train: OutcomeMatrix, test: OutcomeMatrix, board: Scoreboard, whole: FittedRouter, learner: RouterFitter,
    cost: CostKind, model: str, seed: int, n_probes: Sequence[int],
) -> list[CurvePoint]:  # fmt: skip
    others = train.pool([name for name in train.models if name != model])
    router = learner.fit(others, cost, seed)
    known = router.pool.predictors
    rows, test_rows = router.rows(others.prompts), router.rows(test.prompts)
    at = train.models.index(model)
    truth = test.quality[:, at]
    rng = np.random.default_rng([seed, at])
    new = _published(train, router, model, rng)

    def point(how: How, n: int, predictors: PoolPredictors, features: NDArray[np.float32]) -> CurvePoint:
        predictions = _predictions(predictors, features, cost)
        share = _share(board, predictions, test.models)
        if how == "without":
            return CurvePoint(model, seed, how, n, None, None, share)
        mine = predictions.quality[:, at]
        return CurvePoint(model, seed, how, n, float(((mine - truth) ** 2).mean()), _auc(mine, truth), share)

    points = [
        point("without", 0, known, test_rows),
        point("prior", 0, add_to_pool(known, new, rows)[0], test_rows),
        point("retrained", 0, whole.pool.predictors, whole.rows(test.prompts)),
    ]
    logits = calibrated_logits(known.quality, rows)
    prior = PopulationPrior(logits, new.expected_quality)
    orders: dict[How, NDArray[np.intp]] = {
        "chosen": choose_probes(prior, logits, max(n_probes)),
        "random": rng.permutation(train.n_queries),
    }
    for how, order in orders.items():
        for n in n_probes:
            asked = order[:n]
            measured = {name: getattr(train, name)[asked, at] for name in MEASURES}
            answers = ProbeAnswers(rows[asked], **measured)
            points.append(point(how, n, add_to_pool(known, new, rows, answers)[0], test_rows))
    return points


def _published(train: OutcomeMatrix, router: FittedRouter, model: str, rng: np.random.Generator) -> NewCandidate:
    """Return what would be published of a model: its quality within an error, and what it charges."""
    at = train.models.index(model)
    stated = float(np.clip(train.quality[:, at].mean() + _PUBLISHED_NOISE * rng.standard_normal(), 0.02, 0.98))
    new = NewCandidate(model, stated)
    cost = router.pool.predictors.cost
    if isinstance(cost, TokenCostPredictor):
        return replace(new, price=recover_prices(train.pool([model])).get(model) or _mean_price(train, at))
    if cost is None:
        return new
    positive = np.asarray(np.log(np.where(train.cost_usd > 0, train.cost_usd, np.nan)))
    used = np.asarray(np.isfinite(positive).any(axis=0))
    means = np.nanmean(positive[:, used], axis=0)
    others = np.flatnonzero(used) != at
    own = float(np.nanmean(positive[:, at])) if used[at] else float(means.min())
    return replace(new, log_cost_ratio=own - float(means[others].mean()))


def _mean_price(train: OutcomeMatrix, at: int) -> Price:
    """Return one price for all tokens: what the model's calls cost a token."""
    tokens = train.input_tokens[:, at] + train.output_tokens[:, at]
    rate = 1e6 * float(np.nansum(train.cost_usd[:, at]) / np.nansum(tokens))
    return Price(rate, rate)


def _predictions(predictors: PoolPredictors, rows: NDArray[np.float32], cost: CostKind) -> Predictions:
    expected = predictors.predict(rows)
    amounts = {"cost_usd": expected.cost_usd, "latency_s": expected.latency_s, "none": None}[cost]
    return Predictions(
        predictors.models, expected.quality, np.zeros_like(expected.quality) if amounts is None else amounts
    )


def _scoreboard(train: OutcomeMatrix, test: OutcomeMatrix, cost: CostKind) -> Scoreboard:
    best = best_single_model(train.quality, realised_cost(train, cost))
    bootstrap = QueryBootstrap.draw(np.random.default_rng(0), test.n_queries, 0)
    return Scoreboard(test.quality, realised_cost(test, cost), best, float("inf"), bootstrap)


def _share(board: Scoreboard, predictions: Predictions, models: tuple[str, ...]) -> float | None:
    """Return the share of the whole pool's gap that a router closes, whichever of its models it knows."""
    position = np.array([models.index(name) for name in predictions.models])
    choices = np.stack([position[choose(predictions, w)] for w in willingness_grid(predictions)]).astype(np.int16)
    value = float(board.aiq(board.points(choices))[0])
    share = float(share_of_gap(value, board.zero_aiq[0], board.oracle_aiq[0]))
    return share if np.isfinite(share) else None


def _auc(predicted: Floats, truth: Floats) -> float | None:
    """Return the chance that a right answer is predicted above a wrong one; None where there are not both."""
    right = truth >= 0.5
    if right.all() or not right.any():
        return None
    _, inverse, counts = np.unique(predicted, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - 0.5 * (counts - 1))[inverse]
    n = int(right.sum())
    return float((ranks[right].sum() - n * (n + 1) / 2) / (n * (len(right) - n)))


def _difference(point: CurvePoint, base: CurvePoint) -> float | None:
    if point.share_of_gap is None or base.share_of_gap is None:
        return None
    return point.share_of_gap - base.share_of_gap


def _interval(values: Sequence[tuple[str, float | None]]) -> dict[str, float] | None:
    """Return the mean over models of each model's mean over seeds, with a 95% bootstrap interval over models."""
    by_model: dict[str, list[float]] = {}
    for model, value in values:
        if value is not None:
            by_model.setdefault(model, []).append(value)
    if not by_model:
        return None
    means = np.array([np.mean(found) for found in by_model.values()])
    rng = np.random.default_rng(0)
    drawn = means[rng.integers(len(means), size=(_RESAMPLES, len(means)))].mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return {"mean": float(means.mean()), "low": float(low), "high": float(high)}


def draw_new_model_curve(curve: NewModelCurve, path: Path) -> None:
    """Draw the share of the gap against the number of probes, between not adding the model and retraining."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    rows = {(row["how"], row["n_probes"]): row["share_of_gap"] for row in curve.summary() if row["share_of_gap"]}
    for how, colour in (("chosen", "#0b6e4f"), ("random", "#8a8f98")):
        line = [(0, rows["prior", 0]), *((n, row) for (kind, n), row in sorted(rows.items()) if kind == how)]
        x = [n for n, _ in line]
        axes.plot(x, [row["mean"] for _, row in line], color=colour, marker="o", label=f"{how} probes")
        axes.fill_between(
            x, [row["low"] for _, row in line], [row["high"] for _, row in line], color=colour, alpha=0.12, linewidth=0
        )
    for how, style, label in (("without", "--", "without the model"), ("retrained", ":", "retrained on all queries")):
        row = next(row for (kind, _), row in rows.items() if kind == how)
        axes.axhline(row["mean"], color="#30638e", linestyle=style, label=label)
    axes.set_xlabel("judged answers of the new model")
    axes.set_ylabel("share of the zero-to-oracle gap")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, dpi=150)
