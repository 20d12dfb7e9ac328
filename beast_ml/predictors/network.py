"""Train the small networks whose weights become numpy heads: all folds and the final one in a single batch."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import MissingExtraError
from beast_ml.predictors.contract import Floats, Progress, Rows
from beast_ml.predictors.heads import CLIP, DenseHead

if TYPE_CHECKING:
    import torch

__all__ = ["CrossFit", "NetworkConfig", "fit_network", "standardise_by"]

_BATCH: Final = 256
_LARGE: Final = 4096
_WARMUP: Final = 0.15
_ENOUGH_STEPS: Final = 1000
_MIN_EPOCHS: Final = 5


@dataclass(frozen=True)
class NetworkConfig:
    """Shape and schedule of a network; the defaults are the recipe measured on the public outcome sets.

    Parameters
    ----------
    hidden
        Widths of the hidden layers; empty for a linear model.
    dropout
        Share of hidden units left out at each step.
    epochs
        Passes over the data; as few as five where 1000 steps take no more.
    learning_rate, weight_decay
        Of AdamW under a one-cycle schedule.
    task_weight
        Weight of the auxiliary loss (predicting the task) beside the main one.
    """

    hidden: tuple[int, ...] = (384, 128)
    dropout: float = 0.4
    epochs: int = 20
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    task_weight: float = 1.0


@dataclass(frozen=True)
class CrossFit:
    """The network fitted on everything, and out-of-fold outputs.

    Parameters
    ----------
    head
        Outputs (m + tasks): one a candidate, then one a task.
    out_of_fold
        (n, m + tasks) float32 raw outputs, each by a network that did not see the query's fold.
    learning_curve
        After each epoch: mean loss on training batches (with dropout), and on the held-out folds (without).
    """

    head: DenseHead
    out_of_fold: Rows
    learning_curve: tuple[tuple[float, float], ...]


def standardise_by(rows: Rows) -> tuple[Rows, Rows]:
    """Return the means of features, and one over their standard deviations, (d,) each."""
    return np.asarray(rows.mean(axis=0)), np.asarray(1.0 / (rows.std(axis=0) + np.float32(1e-3)))


def fit_network(
    rows: Rows,
    targets: Floats,
    folds: NDArray[np.intp],
    *,
    loss: Literal["probability", "squared"],
    config: NetworkConfig,
    rng: np.random.Generator,
    tasks: NDArray[np.intp] | None = None,
    progress: Progress | None = None,
    label: str = "network",
    standardisation: tuple[Rows, Rows] | None = None,
    refit: bool = True,
) -> CrossFit:
    """Fit one network a fold (without that fold) and one on everything, side by side as one batched model.

    Parameters
    ----------
    rows
        (n, d) features.
    targets
        (n, m); NaN cells carry no loss. In 0..1 for ``loss="probability"`` (fractions are welcome).
    folds
        (n,) fold of each row; -1 for rows that every network may see, of which there are no out-of-fold outputs (NaN).
    loss
        "probability": outputs are logits under the log loss; "squared": outputs are values.
    tasks
        (n,) task of each row for the auxiliary head, or None for no such head.
    standardisation
        Center and scale of the features, (d,) each; default: those of these rows. Heads that share them are served
        faster together.
    refit
        Whether to fit the one on everything; otherwise the head is that of the last fold.
    """
    try:
        import torch
        from torch.nn import functional
    except ImportError as error:
        raise MissingExtraError("training", "train") from error

    n, d = rows.shape
    m = targets.shape[1]
    n_tasks = 0 if tasks is None else int(tasks.max()) + 1
    n_folds = int(folds.max()) + 1
    members = n_folds + refit  # the last one sees every fold
    center, scale = standardisation or standardise_by(rows)
    inputs = torch.from_numpy(np.clip((rows - center) * scale, -CLIP, CLIP))
    observed = ~np.isnan(targets)
    truth = torch.from_numpy(np.where(observed, targets, 0.0).astype(np.float32))
    mask = torch.from_numpy(observed.astype(np.float32))
    kinds = torch.from_numpy(np.zeros(n, np.int64) if tasks is None else tasks.astype(np.int64))
    included = torch.from_numpy(np.stack([folds != k for k in range(members)]).astype(np.float32))

    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    widths = (d, *config.hidden)
    weights = [
        torch.randn(members, a, b, generator=generator) * (2.0 / a) ** 0.5 for a, b in itertools.pairwise(widths)
    ]
    weights.append(torch.randn(members, widths[-1], m + n_tasks, generator=generator) * 0.01)
    biases = [torch.zeros(members, 1, weight.shape[2]) for weight in weights]
    # Each member starts from the means of what it may see, so that nothing of its held-out fold reaches it.
    starts = np.stack([_start(targets[folds != k], loss) for k in range(members)])
    biases[-1][:, 0, :m] = torch.from_numpy(starts.astype(np.float32))
    for tensor in (*weights, *biases):
        tensor.requires_grad_(True)
    # Twice the batch is nearly twice as fast on large data, and as good with a rate that grows like its square root.
    batch_size, rate = (_BATCH, config.learning_rate) if n < _LARGE else (2 * _BATCH, config.learning_rate * 2**0.5)
    optimizer = torch.optim.AdamW(
        [{"params": weights, "weight_decay": config.weight_decay}, {"params": biases, "weight_decay": 0.0}],
        lr=rate,
        fused=True,
    )
    steps_per_epoch = -(-n // batch_size)
    epochs = min(config.epochs, max(_MIN_EPOCHS, -(-_ENOUGH_STEPS // steps_per_epoch)))
    n_steps = epochs * steps_per_epoch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=n_steps, pct_start=_WARMUP)

    def element_loss(predicted: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if loss == "probability":
            return functional.binary_cross_entropy_with_logits(predicted, y, reduction="none")
        return (predicted - y) ** 2

    def forward(x: torch.Tensor, dropout: float) -> torch.Tensor:
        hidden = x.expand(members, -1, -1)
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            hidden = torch.relu(torch.baddbmm(bias, hidden, weight))
            if dropout:
                keep = torch.rand(hidden.shape, generator=generator) >= dropout
                hidden = hidden * keep / (1.0 - dropout)
        return torch.baddbmm(biases[-1], hidden, weights[-1])

    def held_out_loss() -> float:
        summed = torch.zeros(())
        with torch.no_grad():
            for k in range(n_folds):
                held = included[k] == 0
                hidden = inputs[held]
                for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
                    hidden = torch.relu(hidden @ weight[k] + bias[k])
                outputs = (hidden @ weights[-1][k] + biases[-1][k])[:, :m]
                summed += (element_loss(outputs, truth[held]) * mask[held]).sum()
        return float(summed / mask[folds >= 0].sum().clamp(min=1.0))

    step, curve = 0, []
    for _ in range(epochs):
        order = torch.randperm(n, generator=generator)
        running = 0.0
        for batch in torch.split(order, batch_size):
            outputs = forward(inputs[batch], config.dropout)
            share = included[:, batch]
            cells = mask[batch] * share[:, :, None]
            main, y = outputs[:, :, :m], truth[batch].expand(members, -1, -1)
            total = ((element_loss(main, y) * cells).sum((1, 2)) / cells.sum((1, 2)).clamp(min=1.0)).sum()
            running += total.item() * len(batch) / (n * members)
            if n_tasks > 1:
                logits = outputs[:, :, m:].transpose(1, 2)
                wrong = functional.cross_entropy(logits, kinds[batch].expand(members, -1), reduction="none")
                mean = (wrong * share).sum(1) / share.sum(1).clamp(min=1.0)
                total = total + config.task_weight * mean.sum() / np.log(n_tasks)
            optimizer.zero_grad()
            torch.autograd.backward(total)
            optimizer.step()
            schedule.step()
            step += 1
        curve.append((running, held_out_loss()))
        if progress:
            progress(label, step, n_steps)

    heads = [
        DenseHead(
            center,
            scale,
            tuple(weight[k].detach().numpy().copy() for weight in weights),
            tuple(bias[k, 0].detach().numpy().copy() for bias in biases),
        )
        for k in range(members)
    ]
    out_of_fold = np.full((n, m + n_tasks), np.nan, dtype=np.float32)
    for k in range(n_folds):
        out_of_fold[folds == k] = heads[k].forward(rows[folds == k])
    return CrossFit(heads[-1], out_of_fold, tuple(curve))


def _start(targets: Floats, loss: Literal["probability", "squared"]) -> Floats:
    """Return the output biases that predict each candidate's mean, so that training starts from the prior."""
    n_observed = (~np.isnan(targets)).sum(axis=0)
    total = np.nansum(targets)
    grand = total / max(int(n_observed.sum()), 1)
    mean = (np.nansum(targets, axis=0) + grand) / (n_observed + 1.0)
    if loss == "squared":
        return np.asarray(mean)
    mean = np.clip(mean, 0.01, 0.99)
    return np.asarray(np.log(mean / (1.0 - mean)))
