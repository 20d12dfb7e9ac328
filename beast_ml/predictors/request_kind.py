"""What kind of request a prompt is: calibrated probabilities, learnt from prompts whose task's kind is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.predictors.contract import Fitted, Floats, Progress, Rows
from beast_ml.predictors.heads import DenseHead, softmax
from beast_ml.predictors.kind_scores import calibration_error, confusion, macro_f1
from beast_ml.predictors.network import CrossFit, NetworkConfig, fit_network

__all__ = ["MIN_KIND_QUERIES", "RequestKindPredictor", "claimed_kinds", "fit_request_kind"]

MIN_KIND_QUERIES: Final = 30
"""A kind with fewer labelled queries is not claimed."""

_FAMILIES: Final = {
    "linear": NetworkConfig(hidden=(), dropout=0.0, epochs=8, learning_rate=1e-2),
    "network": NetworkConfig(hidden=(64,), dropout=0.2, epochs=12),
}
_TEMPERATURES: Final = np.geomspace(0.4, 4.0, 47)


@dataclass(frozen=True)
class RequestKindPredictor:
    """Probability of every kind that was claimed.

    Parameters
    ----------
    kinds
        The k kinds, sorted.
    head
        k logits from a feature row.
    temperature
        Divides the logits, so that the probabilities are calibrated (Guo et al. 2017).
    """

    kinds: tuple[str, ...]
    head: DenseHead
    temperature: float

    def posterior(self, rows: Rows) -> Floats:
        """Return (n, k) probabilities for (n, d) features; each row sums to 1."""
        return softmax(self.head.forward(rows) / np.float32(self.temperature))

    def predict(self, rows: Rows) -> NDArray[np.intp]:
        """Return (n,) positions of the most probable kinds."""
        return np.asarray(self.head.forward(rows).argmax(axis=1))

    def names(self, rows: Rows) -> list[str]:
        """Return the n most probable kinds by name."""
        return [self.kinds[j] for j in self.predict(rows).tolist()]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to be stored with a router bundle."""
        return self.head.arrays()

    def calibration(self) -> dict[str, Any]:
        """Return the JSON-able numbers to be stored with a router bundle."""
        return {"kinds": list(self.kinds), "temperature": self.temperature}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], calibration: Mapping[str, Any]) -> RequestKindPredictor:
        """Rebuild from what `arrays` and `calibration` returned."""
        return cls(tuple(calibration["kinds"]), DenseHead.from_arrays(arrays), float(calibration["temperature"]))


def claimed_kinds(kinds: NDArray[np.str_]) -> tuple[str, ...]:
    """Return the kinds, sorted, that have at least 30 labelled queries; "" is no label.

    Examples
    --------
    >>> claimed_kinds(np.array(["code"] * 40 + ["law"] * 29 + [""] * 90 + ["maths"] * 30))
    ('code', 'maths')
    """
    names, counts = np.unique(kinds, return_counts=True)
    return tuple(str(name) for name, n in zip(names, counts, strict=True) if name and n >= MIN_KIND_QUERIES)


def fit_request_kind(
    rows: Rows,
    kinds: NDArray[np.str_],
    folds: NDArray[np.intp],
    rng: np.random.Generator,
    *,
    families: Sequence[str] = tuple(_FAMILIES),
    max_per_kind: int = 4000,
    progress: Progress | None = None,
) -> Fitted[RequestKindPredictor] | None:
    """Fit the classifier, or return None where fewer than two kinds can be claimed.

    The family (linear or a small network) with the smaller out-of-fold log loss is taken, then its temperature, a
    single number, is fitted on the same logits.

    Parameters
    ----------
    rows
        (n, d) float32 features.
    kinds
        (n,) kind of each query, "" where none is known.
    folds
        (n,) fold of each query.
    rng
        Of the sample and the networks.
    families
        Which to try.
    max_per_kind
        Most queries of a kind to learn from: more teach little and cost time. The log odds are moved by what that
        takes away, so the probabilities are those of the training mix.
    progress
        Called with what is being done.

    Returns
    -------
    Fitted
        ``out_of_fold`` is (n, k); a query that was not learnt from has what the final model says of it.
    """
    names = claimed_kinds(kinds)
    if len(names) < 2:
        return None
    labelled = np.flatnonzero(np.isin(kinds, names))
    index = np.searchsorted(names, kinds[labelled])
    sample = _at_most(index, max_per_kind, rng)
    used, truth = labelled[sample], index[sample]
    shift = np.log(np.bincount(index) / np.bincount(truth)).astype(np.float32)
    fits = {name: _fit(rows[used], truth, folds[used], _FAMILIES[name], rng, progress) for name in families}
    heads = {name: _without_target(fit.head, shift) for name, fit in fits.items()}
    logits = {name: heads[name].forward(rows) for name in families}
    for name, fit in fits.items():
        logits[name][used] = fit.out_of_fold[:, 1:] + shift
    losses = {name: _log_loss(logits[name][labelled], index, 1.0) for name in families}
    best = min(losses, key=losses.__getitem__)
    known = logits[best][labelled]
    temperature = min(_TEMPERATURES.tolist(), key=lambda value: _log_loss(known, index, value))
    out_of_fold = softmax(logits[best] / np.float32(temperature))
    table = confusion(index, known.argmax(axis=1), len(names))
    report = {
        "macro_f1_out_of_fold": macro_f1(table),
        "accuracy_out_of_fold": float(np.trace(table) / table.sum()),
        "ece_out_of_fold": calibration_error(out_of_fold[labelled], index),
        "log_loss_out_of_fold": _log_loss(known, index, temperature),
        "temperature": temperature,
        "kinds": float(len(names)),
        "labelled_queries": float(len(labelled)),
        "is_network": float(best == "network"),
        **{f"log_loss_out_of_fold/{name}": loss for name, loss in losses.items()},
    }
    return Fitted(RequestKindPredictor(names, heads[best], temperature), out_of_fold, report)


def _fit(
    rows: Rows,
    truth: NDArray[np.intp],
    folds: NDArray[np.intp],
    config: NetworkConfig,
    rng: np.random.Generator,
    progress: Progress | None,
) -> CrossFit:
    """Fit the task head alone: its one candidate has no outcome, so it carries no loss."""
    nothing = np.full((len(rows), 1), np.nan)
    return fit_network(
        rows, nothing, folds, loss="probability", config=config, rng=rng, tasks=truth, progress=progress,
        label="request kind",
    )  # fmt: skip


def _at_most(index: NDArray[np.intp], n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return positions, sorted, of at most n queries of each kind."""
    shuffled = rng.permutation(len(index))
    kept = [shuffled[index[shuffled] == kind][:n] for kind in range(int(index.max()) + 1)]
    return np.sort(np.concatenate(kept))


def _without_target(head: DenseHead, shift: Rows) -> DenseHead:
    """Return the head with its kinds' outputs alone, their log odds moved."""
    weights = (*head.weights[:-1], np.ascontiguousarray(head.weights[-1][:, 1:]))
    return replace(head, weights=weights, biases=(*head.biases[:-1], head.biases[-1][1:] + shift))


def _log_loss(logits: Rows, truth: NDArray[np.intp], temperature: float) -> float:
    probability = softmax(logits / np.float32(temperature))[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(probability, 1e-12)).mean())
