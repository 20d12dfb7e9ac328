"""How the policy that wrote a log chose: probabilities of every model given the request, estimated from its choices.

For logs that carry no propensities, and to tell how likely a choice was that was not made. An estimate is right only
if the old router decided on nothing that the features do not show and that also sways the outcome (no unmeasured
confounding): no statistic of the log can test that.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.predictors.contract import Floats

__all__ = ["LoggingPolicyReport", "LoggingProbabilities", "estimate_logging_policy"]

_STRENGTHS: Final = (0.01, 0.1, 1.0, 10.0, 100.0)
_PSEUDO: Final = 1.0
_SAMPLE: Final = 20_000
_FLOOR: Final = 0.005
_EXPLORED: Final = 0.02
_BINS: Final = 10


@dataclass(frozen=True)
class LoggingPolicyReport:
    """How well the choices could be predicted, out of fold.

    Parameters
    ----------
    log_loss, log_loss_of_shares
        Of the estimate, and of every model's overall share; in nats a request.
    calibration_error
        Mean distance between estimated probability and frequency over ten equally filled bins of all (request, model)
        cells.
    explored
        Share of the requests on which the models other than the likeliest together had an estimated probability of 2%
        or more.
    clipped
        Share of the requests whose chosen model had an estimated probability below the floor of 0.005.
    """

    log_loss: float
    log_loss_of_shares: float
    calibration_error: float
    explored: float
    clipped: float

    def metrics(self) -> dict[str, float]:
        """Return the figures under the names that MLflow shows them by."""
        return {f"logging_policy/{name}": value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class LoggingProbabilities:
    """Out-of-fold estimates for the requests of a log.

    Parameters
    ----------
    probabilities
        (n, m), rows sum to one.
    report
        Whether to believe them.
    """

    probabilities: Floats
    report: LoggingPolicyReport

    def propensity(self, chosen: NDArray[np.intp]) -> Floats:
        """Return (n,) probabilities of the choices that were made, none below 0.005: larger weights prove nothing."""
        return np.maximum(self.probabilities[np.arange(len(chosen)), chosen], _FLOOR)


def estimate_logging_policy(
    columns: Floats, chosen: NDArray[np.intp], n_models: int, folds: NDArray[np.intp], rng: np.random.Generator
) -> LoggingProbabilities:
    """Estimate (n, m) choice probabilities from (n, k) columns by multinomial logistic regression.

    The ridge is chosen by out-of-fold log loss. The models' overall shares stand, and a stronger ridge before a weaker
    one, unless the loss is smaller by more than its standard error. No fit sees more than 20,000 requests: how a
    policy chooses is simpler to learn than what its choices are worth.

    Parameters
    ----------
    columns
        What the policy may have decided on.
    chosen
        (n,) the model chosen for each request, 0 .. m-1.
    n_models
        m, those that were never chosen among them.
    folds
        (n,) fold of each request; the same question is always in the same fold.
    rng
        Draws the requests of a fit where there are more.
    """
    shares = np.empty((len(chosen), n_models))
    for fold in np.unique(folds):
        held = folds == fold
        counts = np.bincount(chosen[~held], minlength=n_models) + _PSEUDO
        shares[held] = counts / counts.sum()
    best, of_shares = shares, _losses(shares, chosen)
    losses = of_shares
    for strength in _STRENGTHS:
        fitted = _out_of_fold(columns, chosen, shares, folds, strength, rng)
        candidate = _losses(fitted, chosen)
        better = losses - candidate
        if better.mean() > better.std() / len(better) ** 0.5:
            best, losses = fitted, candidate
    likeliest = np.sort(best, axis=1)
    made = best[np.arange(len(chosen)), chosen]
    report = LoggingPolicyReport(
        log_loss=float(losses.mean()),
        log_loss_of_shares=float(of_shares.mean()),
        calibration_error=_calibration_error(best, chosen),
        explored=float((likeliest[:, :-1].sum(axis=1) >= _EXPLORED).mean()),
        clipped=float((made < _FLOOR).mean()),
    )
    return LoggingProbabilities(best, report)


def _out_of_fold(
    columns: Floats,
    chosen: NDArray[np.intp],
    shares: Floats,
    folds: NDArray[np.intp],
    strength: float,
    rng: np.random.Generator,
) -> Floats:
    from sklearn.linear_model import LogisticRegression

    out = shares.copy()
    n_models = shares.shape[1]
    for fold in np.unique(folds):
        held = folds == fold
        train = np.flatnonzero(~held)
        train = rng.choice(train, min(len(train), _SAMPLE), replace=False)
        present = np.unique(chosen[train])
        if len(present) < 2:
            continue
        model = LogisticRegression(C=strength, max_iter=2000, tol=1e-3).fit(columns[train], chosen[train])
        told = np.zeros((int(held.sum()), n_models))
        told[:, present] = model.predict_proba(columns[held])
        # A model that was never chosen was not impossible: each gets one pseudo-choice beside those that were made.
        weight = _PSEUDO * n_models / (len(train) + _PSEUDO * n_models)
        out[held] = (1.0 - weight) * told + weight / n_models
    return out


def _losses(probabilities: Floats, chosen: NDArray[np.intp]) -> Floats:
    return np.asarray(-np.log(probabilities[np.arange(len(chosen)), chosen]))


def _calibration_error(probabilities: Floats, chosen: NDArray[np.intp]) -> float:
    happened = np.zeros(probabilities.shape)
    happened[np.arange(len(chosen)), chosen] = 1.0
    order = np.argsort(probabilities.ravel(), kind="stable")
    said, was = probabilities.ravel()[order], happened.ravel()[order]
    bins = np.array_split(np.arange(len(said)), _BINS)
    return float(sum(abs(said[part].mean() - was[part].mean()) * len(part) for part in bins if len(part)) / len(said))
