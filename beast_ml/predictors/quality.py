"""Quality of every candidate's answer, 0..1: network, shrunk to posterior-task means, then Platt-scaled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.predictors.calibration import PlattScaling, cross_calibrate
from beast_ml.predictors.contract import Fitted, Floats, Progress, Rows, TrainingSet
from beast_ml.predictors.heads import DenseHead, sigmoid, softmax
from beast_ml.predictors.network import NetworkConfig, fit_network
from beast_ml.predictors.shrinkage import choose_mixture, cross_task_means, task_means

__all__ = ["QualityPredictor", "fit_quality"]

_MIN_TASK_QUERIES: Final = 10
_MAX_TASKS: Final = 256
_OTHER: Final = ""


@dataclass(frozen=True)
class QualityPredictor:
    """Expected quality of every candidate.

    Parameters
    ----------
    models
        The m candidates.
    tasks
        The tasks the auxiliary head tells apart; the first m outputs of ``head`` are the candidates', the rest theirs.
    head
        The network.
    means
        (tasks, m) mean quality per task; its last row is the models' means over all tasks.
    mixture
        Shares of network, posterior-task mean and model mean.
    platt
        The calibration on top.
    """

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    head: DenseHead
    means: Floats
    mixture: tuple[float, float, float]
    platt: PlattScaling

    def predict(self, rows: Rows) -> Floats:
        """Return (n, m) expected quality."""
        return self.platt.apply(self._shrunk(rows))

    def interval(self, rows: Rows) -> tuple[Floats, Floats]:
        """Return 90% confidence limits of the expected quality, (n, m) each.

        They bound the mean quality over requests that are predicted alike, not the quality of one answer.
        """
        return self.platt.interval(self._shrunk(rows))

    def task_posterior(self, rows: Rows) -> Floats:
        """Return (n, tasks) probabilities of the tasks seen in training."""
        return self._posterior(self.head.forward(rows))

    def _shrunk(self, rows: Rows) -> Floats:
        outputs = self.head.forward(rows)
        m = len(self.models)
        network, by_task, by_model = self.mixture
        mixed = network * sigmoid(outputs[:, :m]) + by_model * self.means[-1]
        if by_task:
            mixed += by_task * (self._posterior(outputs) @ self.means[:-1])
        return np.asarray(mixed)

    def _posterior(self, outputs: Rows) -> Floats:
        """Return (n, tasks) probabilities; a single task has no output, because it is certain."""
        if len(self.tasks) == 1:
            return np.ones((len(outputs), 1))
        return softmax(outputs[:, len(self.models) :])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays to be stored with a router bundle."""
        return {**self.head.arrays(), "means": self.means}

    def calibration(self) -> dict[str, Any]:
        """Return the JSON-able numbers to be stored with a router bundle."""
        return {"tasks": list(self.tasks), "mixture": list(self.mixture), "platt": self.platt.to_dict()}

    @classmethod
    def restore(
        cls, models: tuple[str, ...], arrays: Mapping[str, NDArray[Any]], calibration: Mapping[str, Any]
    ) -> QualityPredictor:
        """Rebuild from what `arrays` and `calibration` returned."""
        network, by_task, by_model = calibration["mixture"]
        return cls(
            models=models,
            tasks=tuple(calibration["tasks"]),
            head=DenseHead.from_arrays(arrays),
            means=arrays["means"],
            mixture=(network, by_task, by_model),
            platt=PlattScaling.from_dict(calibration["platt"]),
        )


def fit_quality(
    data: TrainingSet,
    rng: np.random.Generator,
    config: NetworkConfig | None = None,
    progress: Progress | None = None,
) -> Fitted[QualityPredictor]:
    """Fit the served recipe: a network with a task head, shrunk half-way to task means unless the data object."""
    quality = data.outcomes.quality
    names, tasks = _group_tasks(data.outcomes.tasks)
    fit = fit_network(
        data.rows,
        quality,
        data.folds,
        loss="probability",
        config=config or NetworkConfig(),
        rng=rng,
        tasks=tasks if len(names) > 1 else None,
        progress=progress,
        label="quality",
    )
    m = quality.shape[1]
    network = sigmoid(fit.out_of_fold[:, :m])
    posterior = softmax(fit.out_of_fold[:, m:]) if len(names) > 1 else np.ones((len(network), 1))
    by_task, by_model = cross_task_means(quality, tasks, posterior, data.folds)
    parts = (network, by_task, by_model)
    mixture = choose_mixture(parts, quality)
    shrunk = np.asarray(sum(share * part for share, part in zip(mixture, parts, strict=True)))
    out_of_fold = cross_calibrate(shrunk, quality, data.folds)
    means = np.vstack([task_means(quality, tasks, len(names)), task_means(quality, np.zeros_like(tasks), 1)])
    predictor = QualityPredictor(
        data.outcomes.models, names, fit.head, means, mixture, PlattScaling.fit(shrunk, quality)
    )
    report = {
        "shrinkage_network": mixture[0],
        "shrinkage_task": mixture[1],
        "shrinkage_model": mixture[2],
        "brier_out_of_fold": float(np.nanmean((out_of_fold - quality) ** 2)),
        "brier_of_model_means": float(np.nanmean((by_model - quality) ** 2)),
        "task_accuracy_out_of_fold": float((posterior.argmax(axis=1) == tasks).mean()),
    }
    return Fitted(predictor, out_of_fold, report, fit.learning_curve)


def _group_tasks(tasks: NDArray[np.str_]) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    """Return task names and each query's index; tasks of fewer than ten queries are put together."""
    names, index, counts = np.unique(tasks, return_inverse=True, return_counts=True)
    frequent = np.argsort(-counts, kind="stable")[:_MAX_TASKS]
    kept = sorted(str(names[i]) for i in frequent if counts[i] >= _MIN_TASK_QUERIES)
    position = {name: i for i, name in enumerate(kept)}
    if all(str(name) in position for name in names):
        lookup = np.array([position[str(name)] for name in names])
        return tuple(kept), lookup[index]
    if _OTHER not in position:
        position[_OTHER] = len(kept)
        kept.append(_OTHER)
    lookup = np.array([position.get(str(name), position[_OTHER]) for name in names])
    return tuple(kept), lookup[index]
