"""What the requests of a window cost, and would have cost had one model answered them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.domain import Price
from beast_ml.serving.dashboard.request_table import Rows

__all__ = ["Baseline", "Savings", "costs", "savings_now"]

Floats = NDArray[np.float64]

_FEW: Final = 20
_TOLD_FROM: Final = 0.5


@dataclass(frozen=True)
class Baseline:
    """One model for everything.

    Parameters
    ----------
    model
        Which.
    cost_usd, saved_usd, saved_share
        What it would have cost, and what the requests that can be compared cost less; the share is of the former.
    n_by_own, n_by_mean, n_unknown
        Requests compared by their own tokens at its prices, or their own cost where it answered; by its mean cost on
        the same kind; and not at all.
    is_told
        Whether at least half of the requests could be compared: a few say nothing of all.
    """

    model: str
    cost_usd: float
    saved_usd: float
    saved_share: float | None
    n_by_own: int
    n_by_mean: int
    n_unknown: int
    is_told: bool


@dataclass(frozen=True)
class Savings:
    """Against the best single model (None where qualities say nothing of two models), and against the dearest.

    Parameters
    ----------
    best_by
        What said which is best: ``labels`` or ``predictions``.
    """

    best: Baseline | None
    dearest: Baseline | None
    best_by: str | None


def costs(rows: Rows) -> tuple[Floats, NDArray[np.bool_]]:
    """Return (n,) USD of each request, what it did cost or else was predicted to, and whether it is predicted.

    An answer of the cache costs nothing; NaN: nobody knows.
    """
    actual = rows["cost_usd"]
    predicted = np.isnan(actual) & ~np.isnan(rows["predicted_cost_usd"])
    return np.where(predicted, rows["predicted_cost_usd"], actual), predicted


def savings_now(rows: Rows, prices: Mapping[str, Price]) -> Savings:
    """Return what was saved by not sending every answered request to one model.

    A model's cost of a request is its price times the request's own tokens, both known from the one that answered;
    else what the request did cost, where it answered; else its mean cost, paid or predicted, over at least
    twenty requests of the same kind. So it is an estimate: `beast report savings` weighs it against quality, with
    intervals.
    """
    rows = rows.having(rows.where("status", "ok") | rows.where("error_kind", "unreported"))
    paid, _ = costs(rows)
    models = [name for name in rows.counts("chosen_model") if name]
    found = [_baseline(name, rows, paid, prices.get(name)) for name in models]
    comparable = [each for each in found if each.n_by_own + each.n_by_mean > 0]
    if len(models) < 2 or not comparable:
        return Savings(None, None, None)
    dearest = max(comparable, key=lambda each: each.cost_usd / (each.n_by_own + each.n_by_mean))
    for by in ("labels", "predictions"):
        mean = {each.model: _quality(rows, each.model, by) for each in comparable}
        known = {name: value for name, value in mean.items() if value is not None}
        if len(known) > 1:
            best = max(comparable, key=lambda each: known.get(each.model, -1.0))
            return Savings(best, dearest, by)
    return Savings(None, dearest, None)


def _quality(rows: Rows, model: str, by: str) -> float | None:
    """Return the mean quality of a model's own answers, or what was predicted of them; None where few are known."""
    of_labels = by == "labels"
    values = rows["quality" if of_labels else "predicted_quality"]
    at = (_own(rows, model) if of_labels else rows.where("chosen_model", model)) & ~np.isnan(values)
    return float(values[at].mean()) if at.sum() >= _FEW else None


def _own(rows: Rows, model: str) -> NDArray[np.bool_]:
    """Return (n,) whether a model answered, or was chosen and nobody told who answered.

    What stepped in for it neither costs nor is worth what it would be; what the cache gave again is no answer of it.
    """
    answered = rows.where("served_model", model) & ~rows.where("chosen_model", "")
    return answered | (rows.where("chosen_model", model) & rows.where("served_model", ""))


def _baseline(model: str, rows: Rows, paid: Floats, price: Price | None) -> Baseline:
    would = np.full(len(rows), np.nan)
    if price is not None and not price.usd_per_s:
        fixed = price.cost_usd(0, 0)
        each_in, each_out = price.cost_usd(1, 0) - fixed, price.cost_usd(0, 1) - fixed
        would = rows["input_tokens"] * each_in + rows["output_tokens"] * each_out + fixed
    own = _own(rows, model) & ~np.isnan(paid)
    would[own & np.isnan(would)] = paid[own & np.isnan(would)]
    by_own = ~np.isnan(would)
    for kind in np.unique(rows.codes("request_kind")):
        same = rows.codes("request_kind") == kind
        if (own & same).sum() >= _FEW:
            would[same & ~by_own] = paid[own & same].mean()
    # What the cache answered was spared, too; what nobody knows the cost of is left out on both sides.
    compared = ~np.isnan(would) & ~np.isnan(paid)
    n_compared = int(compared.sum())
    cost_usd, spent = float(would[compared].sum()), float(paid[compared].sum())
    return Baseline(
        model=model,
        cost_usd=cost_usd,
        saved_usd=cost_usd - spent,
        saved_share=(cost_usd - spent) / cost_usd if cost_usd > 0 else None,
        n_by_own=int((compared & by_own).sum()),
        n_by_mean=int((compared & ~by_own).sum()),
        n_unknown=len(rows) - n_compared,
        is_told=n_compared >= _TOLD_FROM * len(rows),
    )
