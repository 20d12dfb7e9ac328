"""Fine-tune the static table on training outcomes: as fast to serve, with vectors that know what they are for.

A table that has seen a query's outcome flatters it, and whatever is fitted or chosen on its vectors is misled. So the
training vectors are cross-fitted: one table a fold is trained without that fold, and encodes it. Requests to come are
encoded by the mean of the fold tables. All of them start from the distilled table and stay near it, so they share its
axes and can be averaged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.errors import InputError, MissingExtraError
from beast_ml.features.bags import TokenBags
from beast_ml.features.boilerplate import strip_boilerplate
from beast_ml.features.encoder import StaticEncoder
from beast_ml.features.spec import FeatureBuilder
from beast_ml.logs.outcomes import OutcomeMatrix

__all__ = ["TUNED", "TableTuning", "TunedFeatures", "tune_features", "tune_table"]

Floats = NDArray[np.float64]
Rows = NDArray[np.float32]

TUNED: Final = "tuned"
"""Name of a fine-tuned static encoder in feature specs."""

_MIN_TASK_QUERIES: Final = 10
_WARMUP: Final = 0.15


@dataclass(frozen=True)
class TableTuning:
    """How a table is fine-tuned.

    Parameters
    ----------
    epochs, batch
        Passes over the training queries, and queries a step.
    learning_rate
        Of AdamW for the token vectors, under a one-cycle schedule.
    pull
        Weight decay of their distance from the distilled ones.
    hidden, dropout, head_learning_rate
        Of the small network above them, which is thrown away.
    """

    epochs: int = 8
    batch: int = 128
    learning_rate: float = 3e-3
    pull: float = 0.1
    hidden: int = 128
    dropout: float = 0.3
    head_learning_rate: float = 2e-3


@dataclass(frozen=True)
class TunedFeatures:
    """Features with a fine-tuned encoder.

    Parameters
    ----------
    features
        Builds the features of requests to come.
    rows
        (n, d) features of the training queries, each encoded by a table that has not seen the outcomes of its fold.
    """

    features: FeatureBuilder
    rows: Rows


def tune_features(
    features: FeatureBuilder,
    rows: Rows,
    outcomes: OutcomeMatrix,
    folds: NDArray[np.intp],
    rng: np.random.Generator,
    progress: Callable[[str, int, int], None] | None = None,
    tuning: TableTuning | None = None,
) -> TunedFeatures:
    """Fine-tune the encoder of some features on training outcomes.

    Parameters
    ----------
    features
        Builds features with a static encoder.
    rows
        (n, d) such features of the training queries.
    outcomes
        Of the n training queries; NaN cells are unknown.
    folds
        (n,) fold of each, the ones that predictors are cross-fitted by.
    progress
        Called with (what is being done, steps done, steps in all).

    Raises
    ------
    InputError
        If the encoder is not a static table.
    MissingExtraError
        If torch is not installed.
    """
    base = features.encoder
    if not isinstance(base, StaticEncoder):
        raise InputError(f"the {base.name} encoder has no table of token vectors to fine-tune: take the static one")
    boilerplate = frozenset(features.spec.boilerplate)
    texts = [strip_boilerplate(prompt, boilerplate)[0] for prompt in outcomes.prompts]
    bags, tasks = TokenBags.of(base, texts), _task_index(outcomes.tasks)
    members = np.unique(folds)
    tuned_rows, total = rows.copy(), np.zeros(base.table.shape)
    for done, fold in enumerate(members, start=1):
        seen, unseen = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        # Each from draws of its own. From the same draws, tables would differ by the outcomes left out alone, and
        # predictors could read a fold's outcomes off the tables of the other folds, which have seen them.
        table = tune_table(base.table, bags.select(seen), outcomes.quality[seen], tasks[seen], rng, tuning)
        tuned_rows[unseen, : base.dim] = _encoder(table, base).encode([texts[i] for i in unseen])
        total += table
        if progress:
            progress("fine-tuning the encoder", done, len(members))
    served = _encoder(total / len(members), base)
    spec = msgspec.structs.replace(features.spec, encoder=served.name, encoder_hash=served.hash)
    return TunedFeatures(FeatureBuilder(spec, served), tuned_rows)


def tune_table(
    table: NDArray[np.float16],
    bags: TokenBags,
    quality: Floats,
    tasks: NDArray[np.intp],
    rng: np.random.Generator,
    tuning: TableTuning | None = None,
) -> Rows:
    """Return (vocabulary, dim) token vectors from which a small network predicts quality and task best.

    Token vectors are trained through the unit-length mean that `StaticEncoder` takes; tokens that do not occur keep
    theirs.

    Parameters
    ----------
    table
        (vocabulary, dim) vectors to start from and stay near.
    bags
        Tokens of n texts.
    quality
        (n, m) in 0..1; NaN cells carry no loss.
    tasks
        (n,) index of each text's task.

    Raises
    ------
    MissingExtraError
        If torch is not installed.
    """
    try:
        import torch
        from torch.nn import functional
    except ImportError as error:
        raise MissingExtraError("fine-tuning the encoder", "train") from error

    tuning = tuning or TableTuning()
    n, m = quality.shape
    dim, n_tasks = table.shape[1], int(tasks.max()) + 1
    vocabulary, local = np.unique(bags.tokens, return_inverse=True)
    tuned = table.astype(np.float32)
    if not len(vocabulary):
        return tuned
    bags = TokenBags(local.astype(np.int64), bags.counts, bags.starts)
    start = torch.from_numpy(tuned[vocabulary])
    observed = ~np.isnan(quality)
    truth = torch.from_numpy(np.where(observed, quality, 0.0).astype(np.float32))
    mask = torch.from_numpy(observed.astype(np.float32))
    kinds = torch.from_numpy(tasks.astype(np.int64))

    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    change = torch.zeros_like(start, requires_grad=True)
    first = (torch.randn(dim, tuning.hidden, generator=generator) * (2.0 / dim) ** 0.5).requires_grad_(True)
    last = (torch.randn(tuning.hidden, m + n_tasks, generator=generator) * 0.01).requires_grad_(True)
    biases = [torch.zeros(tuning.hidden, requires_grad=True), torch.zeros(m + n_tasks, requires_grad=True)]
    head_rate = tuning.head_learning_rate
    optimizer = torch.optim.AdamW(
        [
            {"params": [change], "lr": tuning.learning_rate, "weight_decay": tuning.pull},
            {"params": [first, last], "lr": head_rate, "weight_decay": 1e-2},
            {"params": biases, "lr": head_rate, "weight_decay": 0.0},
        ],
        fused=True,
    )
    rates, n_steps = [tuning.learning_rate, head_rate, head_rate], tuning.epochs * -(-n // tuning.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=n_steps, pct_start=_WARMUP)
    for _ in range(tuning.epochs):
        for batch in torch.split(torch.randperm(n, generator=generator), tuning.batch):
            some = bags.select(batch.numpy())
            summed = functional.embedding_bag(
                torch.from_numpy(some.tokens),
                start + change,
                torch.from_numpy(some.starts[:-1]),
                mode="sum",
                per_sample_weights=torch.from_numpy(some.counts),
            )
            hidden = torch.relu(functional.normalize(summed, dim=1) * dim**0.5 @ first + biases[0])
            keep = torch.rand(hidden.shape, generator=generator) >= tuning.dropout
            outputs = (hidden * keep / (1.0 - tuning.dropout)) @ last + biases[1]
            wrong = functional.binary_cross_entropy_with_logits(outputs[:, :m], truth[batch], reduction="none")
            loss = (wrong * mask[batch]).sum() / mask[batch].sum().clamp(min=1.0)
            if n_tasks > 1:
                loss = loss + functional.cross_entropy(outputs[:, m:], kinds[batch]) / np.log(n_tasks)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    tuned[vocabulary] += change.detach().numpy()
    return tuned


def _encoder(table: NDArray[np.floating], base: StaticEncoder) -> StaticEncoder:
    return StaticEncoder(table.astype(np.float16), base.tokenizer_json, TUNED)


def _task_index(tasks: NDArray[np.str_]) -> NDArray[np.intp]:
    """Return each query's task as an index; tasks of fewer than ten queries are one."""
    _, index, counts = np.unique(tasks, return_inverse=True, return_counts=True)
    frequent = np.flatnonzero(counts >= _MIN_TASK_QUERIES)
    lookup = np.full(len(counts), len(frequent), dtype=np.intp)
    lookup[frequent] = np.arange(len(frequent))
    return np.asarray(lookup[index])
