"""How good a new model is expected to be: from published benchmark scores, or from its price among the pool's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from beast_ml.domain import Price
from beast_ml.errors import InputError
from beast_ml.predictors.contract import Floats
from beast_ml.predictors.heads import sigmoid

__all__ = ["blended_usd_per_mtok", "from_benchmark", "from_price"]

_STEEPEST: Final = 2.0
_INPUT_SHARE: Final = 0.75
_EDGE: Final = 0.01


def from_benchmark(name: str, scores: Mapping[str, float], models: Sequence[str], quality: Floats) -> float:
    """Return the expected mean quality of a new model from published scores of it and of known candidates.

    A line from the logits of scores to the logits of quality through the known candidates; of one known candidate the
    difference in logits is taken as it is.

    Parameters
    ----------
    name
        The new model, one of the scores.
    scores
        Model -> share of the benchmark that it solves, 0..1.
    models, quality
        The m known candidates, and (m,) their mean predicted quality.

    Raises
    ------
    InputError
        If a score is outside 0..1, of an unknown model, missing of the new one, or of no known one.
    """
    for model, score in scores.items():
        if not 0.0 <= score <= 1.0:
            raise InputError(f"benchmark score of {model!r} == {score}, must be in 0..1: give 71% as 0.71")
        if model != name and model not in models:
            raise InputError(
                f"a benchmark score of {model!r}, which is neither {name!r} nor of the pool ({_list(models)})"
            )
    known = [model for model in models if model in scores]
    if name not in scores or not known:
        raise InputError(
            f"benchmark scores of {_list(list(scores)) or 'no model'}: give that of {name!r} and of at least one of "
            f"the pool ({_list(models)}), all of the same benchmark"
        )
    x = _logit(np.array([scores[model] for model in known]))
    y = _logit(np.array([quality[list(models).index(model)] for model in known]))
    variance = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / variance if variance > 0 else 1.0
    at = float(_logit(np.array([scores[name]]))[0])
    return float(sigmoid(np.array(y.mean() + np.clip(slope, 0.0, _STEEPEST) * (at - x.mean()))))


def from_price(price: Price | None, prices: Sequence[Price | None], quality: Floats) -> float:
    """Return the expected mean quality of a new model from where its price ranks in the pool.

    The pool's quality at that rank, shrunk to the pool's mean by how much rank in price tells of quality there (their
    rank correlation). Without prices it is the pool's mean.
    """
    mean = float(quality.mean())
    known = [j for j, other in enumerate(prices) if other is not None and blended_usd_per_mtok(other) > 0]
    if price is None or len(known) < 2:
        return mean
    pool = np.array([blended_usd_per_mtok(prices[j]) for j in known])
    share = float((pool < blended_usd_per_mtok(price)).mean())
    ranks, quality_ranks = pool.argsort().argsort(), quality[known].argsort().argsort()
    correlation = max(0.0, float(np.corrcoef(ranks, quality_ranks)[0, 1]))
    return mean + correlation * (float(np.quantile(quality[known], share)) - mean)


def blended_usd_per_mtok(price: Price | None) -> float:
    """Return USD per million tokens of three parts input and one part output, what prices are compared by."""
    if price is None:
        return 0.0
    return _INPUT_SHARE * price.input_usd_per_mtok + (1.0 - _INPUT_SHARE) * price.output_usd_per_mtok


def _logit(share: Floats) -> Floats:
    clipped = np.clip(share, _EDGE, 1.0 - _EDGE)
    return np.asarray(np.log(clipped / (1.0 - clipped)))


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
