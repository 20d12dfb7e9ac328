"""Pool what several deployments know: one trunk under the outputs of all their models, learnt from all their outcomes.

Two deployments with different candidates share no column of outcomes, but what makes a request hard may be the same in
both. The trunk turns features into 64 units; each (set, model) adds an embedding and a bias of its own, as in
multidimensional item response theory, and the units of a set that was not there may still help its own predictors.

Features are taken less their mean over the own set, so that the trunk is learnt from what tells the requests of one
deployment apart; what tells deployments apart is no use to any.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from beast_ml.errors import InputError, MissingExtraError
from beast_ml.logs.splits import normalise_question
from beast_ml.predictors.contract import Floats, Rows
from beast_ml.predictors.heads import CLIP, DenseHead

__all__ = ["SourceSet", "Trunk", "TrunkConfig", "fit_trunk"]


@dataclass(frozen=True)
class SourceSet:
    """Outcomes of one deployment, to be pooled with those of others.

    Parameters
    ----------
    prompts
        The n requests.
    rows
        (n, d) float32 features; the columns mean the same in every set.
    quality
        (n, m) outcomes of its own m models, 0..1; NaN where none was observed.
    """

    prompts: tuple[str, ...]
    rows: Rows
    quality: Floats

    def take(self, index: np.ndarray[tuple[int], np.dtype[np.intp]]) -> SourceSet:
        """Return the requests at these positions."""
        return SourceSet(tuple(self.prompts[i] for i in index), self.rows[index], self.quality[index])

    def without_questions(
        self, prompts: Collection[str], identity: Callable[[str], str] = normalise_question
    ) -> SourceSet:
        """Return the set without the questions that these prompts ask too.

        Parameters
        ----------
        identity
            What two prompts that ask the same question have in common.
        """
        asked = {identity(prompt) for prompt in prompts}
        return self.take(np.flatnonzero([identity(prompt) not in asked for prompt in self.prompts]))


@dataclass(frozen=True)
class TrunkConfig:
    """Shape and schedule of a trunk.

    Parameters
    ----------
    hidden, units
        Width of the hidden layer, and number of units that the models' embeddings multiply.
    dropout
        Share of hidden units left out at each step.
    steps, batch
        Steps of AdamW under a one-cycle schedule; rows of each set at each step.
    learning_rate, weight_decay
        Of AdamW.
    """

    hidden: int = 256
    units: int = 64
    dropout: float = 0.3
    steps: int = 500
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2


@dataclass(frozen=True)
class Trunk:
    """What all sets share, in plain numpy.

    Parameters
    ----------
    layers
        Standardisation and dense layers; the last gives the units.
    """

    def centred_on(self, rows: Rows) -> Trunk:
        """Return the trunk for a deployment with such (n, d) features: their means take the place of the sources'."""
        return replace(self, layers=replace(self.layers, center=np.asarray(rows.mean(axis=0), dtype=np.float32)))

    layers: DenseHead

    def activations(self, rows: Rows) -> Rows:
        """Return (n, units) float32 for (n, d) features."""
        return np.maximum(self.layers.forward(rows), 0.0)

    def extend(self, rows: Rows) -> Rows:
        """Return (n, d + units): the features with the activations appended."""
        return np.hstack([rows, self.activations(rows)])


def fit_trunk(sets: Sequence[SourceSet], rng: np.random.Generator, config: TrunkConfig | None = None) -> Trunk:
    """Return the trunk that predicts the outcomes of all sets best, each set counting the same whatever its size.

    The loss is the log loss over the observed cells, averaged within each set, then over sets.

    Raises
    ------
    InputError
        If there is no set, one has no observed outcome, or sets differ in their number of features.
    MissingExtraError
        If torch is not installed.
    """
    config = config or TrunkConfig()
    _check(sets)
    try:
        import torch
        from torch.nn import functional
    except ImportError as error:
        raise MissingExtraError("training", "train") from error

    centers = [np.asarray(one.rows.mean(axis=0)) for one in sets]
    scale = _common_scale(sets)
    d = sets[0].rows.shape[1]
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    inputs = [
        torch.from_numpy(np.clip((one.rows - center) * scale, -CLIP, CLIP))
        for one, center in zip(sets, centers, strict=True)
    ]
    observed = [~np.isnan(one.quality) for one in sets]
    truth = [
        torch.from_numpy(np.where(seen, one.quality, 0.0).astype(np.float32))
        for one, seen in zip(sets, observed, strict=True)
    ]
    masks = [torch.from_numpy(seen.astype(np.float32)) for seen in observed]

    widths = (d, config.hidden, config.units)
    weights = [torch.randn(a, b, generator=generator) * (2.0 / a) ** 0.5 for a, b in itertools.pairwise(widths)]
    biases = [torch.zeros(width) for width in widths[1:]]
    embeddings = [torch.randn(config.units, one.quality.shape[1], generator=generator) * 0.01 for one in sets]
    offsets = [torch.from_numpy(_logit_means(one.quality)) for one in sets]
    for tensor in (*weights, *biases, *embeddings, *offsets):
        tensor.requires_grad_(True)
    optimizer = torch.optim.AdamW(
        [
            {"params": [*weights, *embeddings], "weight_decay": config.weight_decay},
            {"params": [*biases, *offsets], "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=config.steps)

    def kept(hidden: torch.Tensor) -> torch.Tensor:
        if not config.dropout:
            return hidden
        stays = torch.rand(hidden.shape, generator=generator) >= config.dropout
        return hidden * stays / (1.0 - config.dropout)

    def batches(n: int) -> Iterator[torch.Tensor]:
        while True:
            yield from torch.split(torch.randperm(n, generator=generator), config.batch)

    drawn = [batches(len(one.rows)) for one in sets]
    for _ in range(config.steps):
        at = [next(draw) for draw in drawn]
        hidden = torch.cat([x[i] for x, i in zip(inputs, at, strict=True)])
        for weight, bias in zip(weights, biases, strict=True):
            hidden = kept(torch.relu(torch.addmm(bias, hidden, weight)))
        losses = []
        for k, units in enumerate(torch.split(hidden, [len(i) for i in at])):
            logits = torch.addmm(offsets[k], units, embeddings[k])
            cells = masks[k][at[k]]
            wrong = functional.binary_cross_entropy_with_logits(logits, truth[k][at[k]], reduction="none")
            losses.append((wrong * cells).sum() / cells.sum().clamp(min=1.0))
        optimizer.zero_grad()
        torch.autograd.backward(torch.stack(losses).mean())
        optimizer.step()
        schedule.step()
    return Trunk(
        DenseHead(
            np.mean(centers, axis=0, dtype=np.float32),
            scale,
            tuple(weight.detach().numpy().copy() for weight in weights),
            tuple(bias.detach().numpy().copy() for bias in biases),
        )
    )


def _check(sets: Sequence[SourceSet]) -> None:
    if not sets:
        raise InputError("no set to learn a trunk from, give at least one")
    widths = sorted({one.rows.shape[1] for one in sets})
    if len(widths) > 1:
        raise InputError(f"sets with {widths[0]} and {widths[-1]} features: make all with the same feature spec")
    for i, one in enumerate(sets):
        if np.isnan(one.quality).all():
            raise InputError(f"set {i} of {len(sets)} has no observed quality, leave it out")


def _common_scale(sets: Sequence[SourceSet]) -> Rows:
    """Return one over the features' standard deviations within sets, (d,); every set weighs the same."""
    variance = np.mean([one.rows.var(axis=0, dtype=np.float64) for one in sets], axis=0)
    return np.asarray(1.0 / (np.sqrt(variance) + 1e-3), dtype=np.float32)


def _logit_means(quality: Floats) -> Rows:
    """Return (m,) logits of the models' mean quality, drawn a little to the mean of all."""
    n = (~np.isnan(quality)).sum(axis=0)
    mean = np.clip((np.nansum(quality, axis=0) + np.nanmean(quality)) / (n + 1.0), 0.01, 0.99)
    return np.asarray(np.log(mean / (1.0 - mean)), dtype=np.float32)
