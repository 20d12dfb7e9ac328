"""Dense heads that read the same row, computed together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.predictors.contract import Rows
from beast_ml.predictors.heads import CLIP, DenseHead

__all__ = ["FusedHeads"]

# Up to this size one product with the zeros between the blocks takes less time than a product a block.
_SMALL: Final = 32_768

# A weight, and the index of the columns that it is multiplied with; None for all columns.
_Index = tuple[slice, slice] | None
_Block = tuple[_Index, Rows]


@dataclass(frozen=True)
class _Hidden:
    """One hidden layer of some heads side by side; in the first one they share a block, for all read the same row.

    Parameters
    ----------
    blocks
        What is read by whom.
    bias, zero
        (1, outputs).
    """

    blocks: tuple[_Block, ...]
    bias: Rows
    zero: Rows

    def forward(self, hidden: Rows) -> Rows:
        out = _beside(_products(hidden, self.blocks))
        out += self.bias
        return np.maximum(out, self.zero, out=out)


@dataclass(frozen=True)
class _Group:
    """The heads of one depth: their hidden layers side by side, and their last weights."""

    hidden: tuple[_Hidden, ...]
    last: tuple[_Block, ...]

    @classmethod
    def of(cls, heads: Sequence[DenseHead]) -> _Group:
        hidden = []
        read: list[_Index] = [None] * len(heads)
        for depth in range(len(heads[0].weights) - 1):
            weights = [head.weights[depth] for head in heads]
            bias = np.concatenate([head.biases[depth] for head in heads])[None]
            blocks = tuple(zip(read, weights, strict=True)) if depth else ((None, np.hstack(weights)),)
            hidden.append(_Hidden(blocks, bias, np.zeros_like(bias)))
            stops = list(accumulate(weight.shape[1] for weight in weights))
            if len(heads) > 1:
                read = [(slice(None), slice(start, stop)) for start, stop in zip([0, *stops[:-1]], stops, strict=True)]
        last = [head.weights[-1] for head in heads]
        if not hidden:
            return cls((), ((None, np.hstack(last)),))
        whole = _block_diagonal(last)
        return cls(tuple(hidden), ((None, whole),) if whole.size <= _SMALL else tuple(zip(read, last, strict=True)))


def _block_diagonal(weights: Sequence[Rows]) -> Rows:
    whole = np.zeros([sum(sizes) for sizes in zip(*(weight.shape for weight in weights), strict=True)], np.float32)
    row = column = 0
    for weight in weights:
        whole[row : row + weight.shape[0], column : column + weight.shape[1]] = weight
        row, column = row + weight.shape[0], column + weight.shape[1]
    return whole


@dataclass(frozen=True)
class _Standardised:
    """Standardised rows, and the groups of heads that read them.

    Parameters
    ----------
    center, scale, low, high
        (1, d), as against a single row numpy then takes its short way; standardised features are clipped to low..high.
    groups
        One a depth.
    """

    center: Rows
    scale: Rows
    low: Rows
    high: Rows
    groups: tuple[_Group, ...]

    def products(self, rows: Rows) -> Iterator[Rows]:
        row: Rows = rows - self.center
        row *= self.scale
        # np.clip takes longer than both of these.
        np.maximum(row, self.low, out=row)
        np.minimum(row, self.high, out=row)
        for group in self.groups:
            hidden = row
            for layer in group.hidden:
                hidden = layer.forward(hidden)
            yield _beside(_products(hidden, group.last))


@dataclass(frozen=True)
class FusedHeads:
    """Dense heads on the same features: those that standardise alike share the row, of equal depth the first layer.

    Parameters
    ----------
    parts
        One a way to standardise.
    columns
        Where the outputs, in the order of the heads, are among those of all parts; None: they are in order.
    """

    parts: tuple[_Standardised, ...]
    columns: NDArray[np.intp] | None

    @classmethod
    def of(cls, heads: Sequence[DenseHead]) -> FusedHeads:
        """Return some heads together."""
        by_input: dict[tuple[bytes, bytes], dict[int, list[int]]] = {}
        for number, head in enumerate(heads):
            by_depth = by_input.setdefault((head.center.tobytes(), head.scale.tobytes()), {})
            by_depth.setdefault(len(head.weights), []).append(number)
        parts, placed = [], []
        for by_depth in by_input.values():
            groups = tuple(_Group.of([heads[number] for number in numbers]) for numbers in by_depth.values())
            placed += [number for numbers in by_depth.values() for number in numbers]
            first = heads[placed[-1]]
            low = np.full_like(first.center[None], -CLIP)
            parts.append(_Standardised(first.center[None], first.scale[None], low, -low, groups))
        owner = np.repeat(placed, [len(heads[number].biases[-1]) for number in placed])
        in_order = bool((np.diff(owner) >= 0).all())
        return cls(tuple(parts), None if in_order else np.argsort(owner, kind="stable"))

    def products(self, rows: Rows) -> Rows:
        """Return (n, outputs) float32 for (n, d) features: what the heads give, side by side, but for the last bias.

        That is left to the caller, who may have more to add.
        """
        outputs = _beside([product for part in self.parts for product in part.products(rows)])
        return outputs if self.columns is None else outputs[:, self.columns]


def _products(hidden: Rows, blocks: Iterable[_Block]) -> list[Rows]:
    return [(hidden if index is None else hidden[index]).dot(weight) for index, weight in blocks]


def _beside(parts: list[Rows]) -> Rows:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
