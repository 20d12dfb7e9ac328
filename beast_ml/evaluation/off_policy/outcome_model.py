"""What every candidate would have got on every request of a log, predicted from the log itself, never from the round.

A pooled ridge on a kernel of the requests' features (`beast_ml.predictors.pooled_ridge`), in seconds. Each prediction
is by a fit that saw no request of the same fold, and equal questions share a fold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import NotEnoughDataError
from beast_ml.evaluation.off_policy.rounds import Floats
from beast_ml.features.encoder import Encoder
from beast_ml.features.spec import FeatureBuilder, FeatureSpec
from beast_ml.predictors.landmarks import LandmarkFeatures
from beast_ml.predictors.pooled_ridge import RidgePrior, choose_prior, predict_out_of_fold

__all__ = ["LEAST_LABELLED", "check_labels", "choose_outcome_prior", "predict_outcomes", "request_columns"]

Progress = Callable[[str, int, int], None]

LEAST_LABELLED: Final = 20
"""Labelled rounds below which nothing is estimated."""

_PRIORS: Final = tuple(RidgePrior(own * part, own) for own in (8.0, 25.0, 80.0) for part in (0.1, 0.5))
_ROUNDS_PER_COLUMN: Final = 20
_LEAST_COLUMNS, _MOST_COLUMNS = 16, 192
_LEAST_FOLDS: Final = 2
_CHUNK: Final = 500


def request_columns(
    prompts: Sequence[str],
    encoder: Encoder,
    rng: np.random.Generator,
    n_columns: int | None = None,
    progress: Progress = lambda *_: None,
) -> Floats:
    """Return (n, k) kernel columns of requests; by default as many as a log of that length can make use of."""
    spec = FeatureSpec.learn(encoder, prompts)
    builder = FeatureBuilder(spec, encoder)
    parts = []
    for start in range(0, len(prompts), _CHUNK):
        parts.append(builder.matrix(prompts[start : start + _CHUNK]))
        progress("reading prompts", min(start + _CHUNK, len(prompts)), len(prompts))
    rows = np.vstack(parts)
    if n_columns is None:
        n_columns = int(np.clip(len(rows) // _ROUNDS_PER_COLUMN, _LEAST_COLUMNS, _MOST_COLUMNS))
    return LandmarkFeatures.fit(rows, spec.encoder_dim, n_columns, rng).transform(rows)


def predict_outcomes(
    columns: Floats,
    reward: Floats,
    chosen: NDArray[np.intp],
    n_models: int,
    folds: NDArray[np.intp],
    low: float,
    high: float,
    prior: RidgePrior | None = None,
) -> Floats:
    """Return (n, m) predicted rewards, out of fold, within what rewards can be.

    Parameters
    ----------
    columns
        (n, k) of the requests; k may be 0, and then a model's prediction is its mean, drawn towards that of all.
    reward
        (n,) NaN where not known.
    chosen
        (n,) whose it is.
    folds
        (n,) equal questions in the same one.
    low, high
        What rewards can be at least and at most.
    prior
        Of the ridge; by default the one of least out-of-fold error.

    Raises
    ------
    NotEnoughDataError
        If fewer than twenty rewards are known, or all in one fold.
    """
    check_labels(reward, folds)
    if prior is None:
        prior = choose_outcome_prior(columns, reward, chosen, n_models, folds, low, high)
    span = high - low if high > low else 1.0
    scaled = _scaled(reward, chosen, n_models, low, span)
    return np.asarray(np.clip(low + span * predict_out_of_fold(columns, scaled, folds, prior), low, high))


def choose_outcome_prior(
    columns: Floats,
    reward: Floats,
    chosen: NDArray[np.intp],
    n_models: int,
    folds: NDArray[np.intp],
    low: float,
    high: float,
) -> RidgePrior:
    """Return the prior of least out-of-fold error; the arguments are those of `predict_outcomes`."""
    known = np.isfinite(reward)
    span = high - low if high > low else 1.0
    scaled = _scaled(reward[known], chosen[known], n_models, low, span)
    return choose_prior(columns[known], scaled, folds[known], _PRIORS)


def check_labels(reward: Floats, folds: NDArray[np.intp]) -> None:
    """Raise `NotEnoughDataError` where too few rewards are known to estimate anything."""
    known = np.isfinite(reward)
    if known.sum() < LEAST_LABELLED or len(np.unique(folds[known])) < _LEAST_FOLDS:
        raise NotEnoughDataError(
            f"{int(known.sum())} of {len(reward)} usable requests have a label, at least {LEAST_LABELLED} of different "
            "questions are needed: label more answers, or wait for labels still to come"
        )


def _scaled(reward: Floats, chosen: NDArray[np.intp], n_models: int, low: float, span: float) -> Floats:
    """Return (n, m) rewards between 0 and 1, as the priors want them; NaN where not known."""
    values = np.full((len(reward), n_models), np.nan)
    values[np.arange(len(reward)), chosen] = (reward - low) / span
    return values
