"""Plots an analyst looks at before reading numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure

from beast_ml.predictors.contract import Floats

__all__ = ["draw_calibration", "draw_cost_accuracy", "draw_learning_curves"]

_BINS: Final = 10
_MAX_MODELS: Final = 12


def draw_calibration(path: Path, models: tuple[str, ...], predicted: Floats, realised: Floats) -> None:
    """Draw realised against predicted quality in equal-mass bins, one line a model."""
    figure, axes = _square()
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--", label="perfect")
    for j, name in enumerate(models[:_MAX_MODELS]):
        seen = ~np.isnan(realised[:, j])
        order = np.argsort(predicted[seen, j])
        if len(order) < _BINS:
            continue
        bins = [part for part in np.array_split(order, _BINS) if len(part)]
        axes.plot(
            [predicted[seen, j][part].mean() for part in bins],
            [realised[seen, j][part].mean() for part in bins],
            marker="o",
            markersize=3,
            linewidth=1,
            label=name,
        )
    lowest = min([0.9, *(value for line in axes.lines[1:] for value in (*line.get_xdata(), *line.get_ydata()))])
    axes.set_xlim(lowest - 0.05, 1.02)
    axes.set_ylim(lowest - 0.05, 1.02)
    axes.set_xlabel("predicted quality")
    axes.set_ylabel("realised quality on test queries")
    axes.set_title("Calibration of predicted quality (10 equal-mass bins)")
    _save(figure, axes, path)


def draw_cost_accuracy(path: Path, models: tuple[str, ...], predicted: Floats, realised: Floats, unit: str) -> None:
    """Draw realised against predicted cost on log axes, one colour a model."""
    figure, axes = _square()
    for j, name in enumerate(models[:_MAX_MODELS]):
        seen = (realised[:, j] > 0) & (predicted[:, j] > 0)
        axes.scatter(predicted[seen, j], realised[seen, j], s=4, alpha=0.35, linewidths=0, label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    ends = [min(axes.get_xlim()[0], axes.get_ylim()[0]), max(axes.get_xlim()[1], axes.get_ylim()[1])]
    axes.plot(ends, ends, color="0.6", linewidth=1, linestyle="--", label="perfect")
    axes.set_xlabel(f"predicted, {unit}")
    axes.set_ylabel(f"realised on test queries, {unit}")
    axes.set_title("Cost before the request against cost after it")
    _save(figure, axes, path)


def draw_learning_curves(path: Path, curves: Mapping[str, tuple[tuple[float, float], ...]]) -> None:
    """Draw the loss on training batches and on held-out folds after each epoch, one panel a target."""
    figure = Figure(figsize=(4.2 * len(curves), 3.6), layout="constrained")
    for axes, (target, curve) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True):
        epochs = range(1, len(curve) + 1)
        axes.plot(epochs, [train for train, _ in curve], label="training batches", color="0.6")
        axes.plot(epochs, [held_out for _, held_out in curve], label="held-out folds", color="tab:blue")
        axes.set_title(target.replace("_", " "))
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    figure.savefig(path, dpi=120)


def _square() -> tuple[Figure, Any]:
    figure = Figure(figsize=(8.2, 5.2), layout="constrained")
    return figure, figure.subplots()


def _save(figure: Figure, axes: Any, path: Path) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
