"""The static gate: a lookup that is far from every entry by the static table is a miss, and MiniLM need not run.

The table's own similarities tell little: all questions are alike to it. A linear map to MiniLM's vectors, learnt on
some thousand texts, makes them tell four times as much.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from beast_ml.cache.artefact_files import GATE_FILE
from beast_ml.errors import EncoderError, NotEnoughDataError
from beast_ml.features.encoder import Encoder, StaticEncoder, Vectors

__all__ = ["GateBound", "GateEncoder", "check_enough_hits", "choose_gate_bound", "skipped_share"]

_DIM: Final = 128
_RIDGE: Final = 2e-5
_FEWEST_TEXTS: Final = 500


@dataclass(frozen=True)
class GateEncoder:
    """Static vectors, mapped to where MiniLM's would be, as far as 128 directions say it.

    Parameters
    ----------
    static
        The table.
    mean
        (static dim,) the mean static vector.
    directions
        (static dim, dim) the map, less the turn that would make MiniLM's own axes of it: cosines are the same without.
    """

    static: Encoder
    mean: NDArray[np.float32]
    directions: NDArray[np.float32]
    name: str = "gate"  # as manifests call it

    @classmethod
    def fit(cls, static: Encoder, texts: Sequence[str], vectors: Vectors) -> GateEncoder:
        """Learn the map by ridge regression of MiniLM's vectors on static ones.

        Parameters
        ----------
        static
            The table.
        texts
            n texts like those that are to be looked up.
        vectors
            (n, d) MiniLM's vectors of them.

        Raises
        ------
        NotEnoughDataError
            If there are fewer than 500 texts.
        """
        if len(texts) < _FEWEST_TEXTS:
            raise NotEnoughDataError(f"{len(texts)} texts, must be at least {_FEWEST_TEXTS} to learn the gate from")
        given = static.encode(texts).astype(np.float64)
        mean = given.mean(axis=0)
        given -= mean
        wanted = vectors - vectors.mean(axis=0)
        penalty = _RIDGE * len(texts) * np.eye(given.shape[1])
        weights = np.linalg.solve(given.T @ given + penalty, given.T @ wanted)
        left, strengths, _ = np.linalg.svd(weights, full_matrices=False)
        directions = left[:, :_DIM] * strengths[:_DIM]
        return cls(static, mean.astype(np.float32), directions.astype(np.float32))

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return int(self.directions.shape[1])

    @cached_property
    def hash(self) -> str:
        """Hex digest of the table and the map."""
        return hashlib.sha256(self.static.hash.encode() + self.mean.tobytes() + self.directions.tobytes()).hexdigest()

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return (n, dim) float32 of unit length."""
        out = np.empty((len(texts), self.dim), dtype=np.float32)
        # Row by row, so that a vector does not depend on the texts beside it.
        for row, given in zip(out, self.static.encode(texts), strict=True):
            row[:] = (given - self.mean) @ self.directions
            row /= np.sqrt(row @ row) + np.float32(1e-12)
        return out

    def save(self, folder: Path) -> None:
        """Write the map into a folder, beside the table."""
        arrays = {"mean": self.mean, "directions": np.ascontiguousarray(self.directions)}
        (folder / GATE_FILE).write_bytes(save(arrays))

    @classmethod
    def load(cls, folder: Path) -> GateEncoder:
        """Read what `save` and `StaticEncoder.save` wrote.

        Raises
        ------
        EncoderError
            If a file is absent or damaged.
        """
        static = StaticEncoder.load(folder)
        try:
            arrays: dict[str, Any] = load((folder / GATE_FILE).read_bytes())
            return cls(static, arrays["mean"], arrays["directions"])
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            raise EncoderError(f"no usable gate in {folder}: {error}") from error


@dataclass(frozen=True)
class GateBound:
    """Where the gate closes, and on what evidence.

    Parameters
    ----------
    similarity
        A lookup whose greatest static similarity is below it is a miss; -1: none is.
    max_lost
        The share of true hits that may be lost by it.
    confidence
        With which no more are.
    n_hits, n_lost
        True hits it was chosen on, and those of them that are below it.
    """

    similarity: float
    max_lost: float
    confidence: float
    n_hits: int
    n_lost: int


def choose_gate_bound(similarities: NDArray[Any], max_lost: float = 0.01, confidence: float = 0.95) -> GateBound:
    """Return the greatest bound below which, with confidence, at most a share of true hits lies.

    The number below a bound is binomial; its share's one-sided Clopper-Pearson limit is kept at most ``max_lost``.

    Parameters
    ----------
    similarities
        (n,) static similarities of texts to entries whose answers are right for them, none of which the gate was
        fitted on. The nearest entry is at least as near, so the share that is really lost is no greater.
    max_lost
        Share of true hits that may be lost, in (0, 1).
    confidence
        In (0, 1).

    Raises
    ------
    NotEnoughDataError
        If there are so few that even the least of them proves nothing.
    """
    from scipy.stats import beta

    check_enough_hits(len(similarities), max_lost, confidence)
    ordered = np.sort(np.asarray(similarities, dtype=np.float64))
    n = len(ordered)
    n_lost = 0
    while n_lost + 1 < n and beta.ppf(confidence, n_lost + 2, n - n_lost - 1) <= max_lost:
        n_lost += 1
    return GateBound(float(ordered[n_lost]), max_lost, confidence, n, n_lost)


def check_enough_hits(n: int, max_lost: float = 0.01, confidence: float = 0.95) -> None:
    """Refuse to choose a bound on fewer true hits than can prove anything; see `choose_gate_bound`.

    Raises
    ------
    NotEnoughDataError
        If there are so few.
    """
    needed = int(np.ceil(np.log(1 - confidence) / np.log(1 - max_lost)))
    if n < needed:
        raise NotEnoughDataError(
            f"{n} true hits to choose the gate on, must be at least {needed} to lose at most {max_lost:.1%} of them "
            f"with confidence {confidence:.0%}: give more labelled pairs, or allow a greater loss"
        )


def skipped_share(lookups: Vectors, entries: Vectors, bound: float) -> float:
    """Return the share of lookups that the gate stops, given their and the entries' static vectors."""
    return float(np.mean([(entries @ lookup).max(initial=-1.0) < bound for lookup in lookups]))
