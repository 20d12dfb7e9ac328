"""Quality of a model nobody has logs of yet: one more draw from the population that the known candidates are.

Its logit is a combination of theirs, ``z_new(x) = sum_j w_j z_j(x) + b``. Before any answer is seen, w is 1/m each and
b is what makes its mean quality the expected one. How far a new model may be from that is not guessed: the deviations
of the known candidates from their mean are the scale of its own (an empirical Bayes prior). Some dozens of judged
answers, probes, then move w and b by penalised logistic regression, with Laplace's approximation of what is left
uncertain.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from beast_ml.errors import InputError
from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.heads import sigmoid
from beast_ml.predictors.quality import QualityPredictor

__all__ = ["LogitCombination", "PopulationPrior", "calibrated_logits"]

_SHARED_SD: Final = 0.3
_STATED_SD: Final = 0.4
_STEPS: Final = 50
_EDGE: Final = 0.005
_WIDEST: Final = 30.0


@dataclass(frozen=True)
class LogitCombination:
    """What is believed of a new model: its logit as a combination of the known candidates' logits.

    Parameters
    ----------
    weights
        (m,) of the known candidates.
    offset
        Added to the combination.
    line_covariance
        (3,): variances of slope and offset of its logit, and their covariance, as `PlattScaling` keeps them.
    scatter
        Variance of its logit beyond that line, mean over requests.
    mean_quality, low, high
        Expected quality over the reference requests, and the ends of its 90% interval.
    n_probes
        Judged answers it was learnt from.
    """

    weights: Floats
    offset: float
    line_covariance: Floats
    scatter: float
    mean_quality: float
    low: float
    high: float
    n_probes: int

    def logits(self, known: Floats) -> Floats:
        """Return (n,) logits of the new model for (n, m) logits of the known ones."""
        return np.asarray(known @ self.weights + self.offset)


@dataclass(frozen=True)
class PopulationPrior:
    """What to believe of a new model before it has answered anything.

    Parameters
    ----------
    reference
        (n, m) calibrated logits of the known candidates on requests such as will come.
    expected_quality
        Of the new model on these requests, strictly between 0 and 1.
    is_stated
        Whether the expectation was stated (by hand, or through a benchmark), and not only guessed from the pool: it is
        then believed within 0.4 of a logit, else within what the pool itself varies by.

    Raises
    ------
    InputError
        If there are no reference requests.
    """

    reference: Floats
    expected_quality: float
    is_stated: bool = True

    def __post_init__(self) -> None:
        if not len(self.reference):
            raise InputError("no prompts to tell from how the candidates compare: give a file with at least one")

    @cached_property
    def spread(self) -> Floats:
        """(m + 2,) prior standard deviations of what `design` multiplies."""
        m = self.reference.shape[1]
        levels = self.reference.mean(axis=0)
        level_sd = _STATED_SD if self.is_stated else max(_STATED_SD, float(levels.std()))
        # m deviations from their own mean span the population's covariance when each weighs 1 / (m - 1).
        return np.array([_SHARED_SD, *np.full(m, 1.0 / np.sqrt(max(m - 1, 1))), level_sd])

    @cached_property
    def _mean(self) -> Floats:
        """(m + 2,) prior mean: the candidates' mean, at the level that gives the expected quality."""
        target = float(np.clip(self.expected_quality, _EDGE, 1.0 - _EDGE))
        shared = self.design(self.reference)[:, 0]
        low, high = -_WIDEST, _WIDEST
        for _ in range(60):  # bisection
            middle = 0.5 * (low + high)
            low, high = (middle, high) if sigmoid(shared + middle).mean() < target else (low, middle)
        return np.array([1.0, *np.zeros(self.reference.shape[1]), 0.5 * (low + high)])

    def design(self, known: Floats) -> Floats:
        """Return (n, m + 2): the candidates' mean logit, each one's deviation from it, and 1; centred on the reference.

        Centred, so that the level of a new model and what it is good at are learnt apart.
        """
        level = self.reference.mean(axis=0)
        shared, middle = known.mean(axis=1), level.mean()
        deviations = (known - shared[:, None]) - (level - middle)
        return np.column_stack([shared - middle, deviations, np.ones(len(known))])

    def prior_quality(self, known: Floats) -> Floats:
        """Return (n,) quality that the prior expects of the new model."""
        return sigmoid(self.design(known) @ self._mean)

    def update(self, known: Floats | None = None, quality: Floats | None = None) -> LogitCombination:
        """Return what is believed after some answers were judged; without any, the prior itself.

        Parameters
        ----------
        known
            (k, m) calibrated logits of the known candidates on the probes.
        quality
            (k,) judged quality of the new model's answers, 0..1; fractions are fine.

        Raises
        ------
        InputError
            If a quality is outside 0..1.
        """
        if known is None or quality is None or not len(quality):
            known, quality = np.empty((0, self.reference.shape[1])), np.empty(0)
        if not ((quality >= 0.0) & (quality <= 1.0)).all():
            raise InputError("the quality of a probe is outside 0..1: give shares of what a perfect answer is worth")
        theta, covariance = _laplace(self.design(known), quality, self._mean, self.spread)
        m = len(theta) - 2
        deviation = theta[1:-1] - theta[1:-1].mean()
        weights = theta[0] / m + deviation
        level = self.reference.mean(axis=0)
        # Undoes the centring of `design`.
        offset = float(theta[-1] - theta[0] * level.mean() - (theta[1:-1] * (level - level.mean())).sum())
        design = self.design(self.reference)
        line, scatter = _along_a_line(design, theta, covariance)
        quality_here = sigmoid(design @ theta)
        gradient = (quality_here * (1.0 - quality_here)) @ design / len(design)
        mean, sd = float(quality_here.mean()), float(np.sqrt(gradient @ covariance @ gradient))
        slope = max(mean * (1.0 - mean), _EDGE)
        middle, half = np.log(max(mean, 1e-9) / max(1.0 - mean, 1e-9)), 1.645 * sd / slope
        low, high = sigmoid(np.array([middle - half, middle + half]))
        return LogitCombination(weights, offset, line, scatter, mean, float(low), float(high), len(quality))


def calibrated_logits(quality: QualityPredictor, rows: Rows) -> Floats:
    """Return (n, m) logits of the known candidates after Platt's scaling: linear in what their head says."""
    platt = quality.calibrated.platt
    return np.asarray(quality.head.forward(rows).astype(np.float64) * platt.slope + platt.offset)


def _laplace(design: Floats, quality: Floats, mean: Floats, spread: Floats) -> tuple[Floats, Floats]:
    """Return the mode and the covariance of a logistic regression with a normal prior, by damped Newton steps."""
    precision = 1.0 / spread**2

    def loss(theta: Floats) -> float:
        logits = design @ theta
        return float(
            (np.logaddexp(0.0, logits) - quality * logits).sum() + 0.5 * (precision * (theta - mean) ** 2).sum()
        )

    theta = mean
    for _ in range(_STEPS):
        p = sigmoid(design @ theta)
        gradient = design.T @ (p - quality) + precision * (theta - mean)
        step = np.linalg.solve((design * (p * (1.0 - p))[:, None]).T @ design + np.diag(precision), gradient)
        length = 1.0
        while length > 1e-3 and loss(theta - length * step) > loss(theta):
            length *= 0.5
        theta = theta - length * step
        if np.abs(step).max() < 1e-8:
            break
    p = sigmoid(design @ theta)
    hessian = (design * (p * (1.0 - p))[:, None]).T @ design + np.diag(precision)
    return theta, np.asarray(np.linalg.inv(hessian), dtype=np.float64)


def _along_a_line(design: Floats, theta: Floats, covariance: Floats) -> tuple[Floats, float]:
    """Return the part of the uncertainty that is a line of the predicted logit, and the mean variance beyond it."""
    predicted = design @ theta
    line = np.column_stack([predicted, np.ones(len(predicted))])
    projection = np.linalg.pinv(line) @ design
    along = projection @ covariance @ projection.T
    beyond = design - line @ projection
    return np.array([along[0, 0], along[1, 1], along[0, 1]]), float(((beyond @ covariance) * beyond).sum(axis=1).mean())
