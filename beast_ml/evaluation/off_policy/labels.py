"""Rewards that are missing or still to come: how likely a label was, and predictions in place of labels.

Inverse probability of labelling (Robins, Rotnitzky, Zhao 1994): a labelled round speaks for those that looked like it
and got no label. That is right when what decides on a label is among what is looked at: the request, the model that
answered, how long ago it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.evaluation.off_policy.estimators import PerRound, TargetRounds
from beast_ml.evaluation.off_policy.rounds import Floats, effective_sample_size
from beast_ml.predictors.logging_policy import estimate_logging_policy

__all__ = ["LEAST_LABEL_PROBABILITY", "LabelModel", "PredictionPowered", "label_model", "prediction_powered"]

LEAST_LABEL_PROBABILITY: Final = 0.02
"""Floor of estimated probabilities of a label: a larger weight proves nothing."""

_AGES: Final = 8


@dataclass(frozen=True)
class LabelModel:
    """How rewards become known.

    Parameters
    ----------
    probability
        (n,) of a label, by fits that did not see the round.
    depends
        Whether labels go by the request, the model or the age: else all rounds have the same probability.
    n_floored
        Rounds whose probability was below the floor.
    """

    probability: Floats
    depends: bool
    n_floored: int


def label_model(
    observed: NDArray[np.bool_],
    columns: Floats,
    chosen: NDArray[np.intp],
    received_at: Floats | None,
    folds: NDArray[np.intp],
    rng: np.random.Generator,
) -> LabelModel:
    """Estimate the probability of a label out of fold; one for all, unless more predicts labels better.

    Parameters
    ----------
    observed
        (n,) which rounds have a label.
    columns
        (n, k) of the requests.
    chosen
        (n,) the model that answered.
    received_at
        (n,) when, in any unit, so that labels that come late are told from labels that never come; None: not known.
    """
    n = len(observed)
    if observed.all():
        return LabelModel(np.ones(n), False, 0)
    models = np.eye(int(chosen.max()) + 1)[chosen]
    parts = [columns, models]
    if received_at is not None:
        edges = np.quantile(received_at, np.linspace(0, 1, _AGES + 1)[1:-1])
        parts.append(np.eye(_AGES)[np.searchsorted(edges, received_at, side="right")])
    found = estimate_logging_policy(np.hstack(parts), observed.astype(np.intp), 2, folds, rng)
    depends = found.report.log_loss < found.report.log_loss_of_shares
    raw = found.probabilities[:, 1] if depends else np.full(n, observed.mean())
    return LabelModel(np.maximum(raw, LEAST_LABEL_PROBABILITY), depends, int((raw < LEAST_LABEL_PROBABILITY).sum()))


@dataclass(frozen=True)
class PredictionPowered:
    """``ips`` helped by predictions of what the unlabelled rounds would have said.

    Parameters
    ----------
    per_round
        Its numbers.
    trust
        How much of the predictions is used, 0..1, as the data say: 0 leaves the labels alone.
    labels_saved
        Share of the labels that could be spared, were they fewer at random, with an interval as wide as without
        predictions.
    """

    per_round: PerRound
    trust: float
    labels_saved: float


def prediction_powered(rounds: TargetRounds) -> PredictionPowered:
    """Return the prediction-powered estimate (Angelopoulos et al. 2023; power tuned as by PPI++, 2023).

    ``mean(w h) + mean(w' (r - h))`` with the importance weight w, ``h = c + L f`` made of the predicted reward f of the
    choice that was made, and w' = w / probability of the label on labelled rounds, else 0. Whatever h is, its mean is
    that of ``ips``; c and L are those of least variance. L is 0 for predictions that tell nothing; with L = 0 and a
    target that is the log's own policy, it is the mean of the labels.
    """
    labelled, gap = rounds.weight, rounds.weight - rounds.policy_weight  # the mean of the gap is 0, whatever h is
    direct, squares = labelled * rounds.reward, float((gap**2).sum())
    if squares == 0:
        return PredictionPowered(PerRound(direct, np.ones(len(gap)), effective_sample_size(labelled)), 0.0, 0.0)
    # Predictions are centred so that the two parts of h do not speak of the same.
    f = rounds.of_chosen - float((gap**2 * rounds.of_chosen).sum()) / squares
    constant = float((direct * gap).sum()) / squares
    spread = float(((gap * f) ** 2).sum())
    power = float(np.clip((direct * gap * f).sum() / spread, 0.0, 1.0)) if spread > 0 else 0.0
    without = direct - constant * gap
    values = without - power * gap * f
    # With a share s of the labels, variance is b / s for what labels still have to say, plus what none can change.
    b = float(((labelled * (rounds.reward - constant - power * f)) ** 2).mean())
    gained = float(without.var() - values.var())
    return PredictionPowered(
        PerRound(values, np.ones(len(values)), effective_sample_size(labelled)),
        power,
        gained / (gained + b) if gained + b > 0 else 0.0,
    )
