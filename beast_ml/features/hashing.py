"""An encoder that needs no weights at all: hashed words and word pairs, for when nothing is installed."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log1p, sqrt
from typing import Final
from zlib import crc32

import numpy as np

from beast_ml.features.encoder import Vectors, clip_text

__all__ = ["HashingEncoder"]

_TOKEN: Final = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class HashingEncoder:
    """Signed hashing of words and adjacent pairs, sublinear counts, unit length (Weinberger et al. 2009).

    Parameters
    ----------
    dim
        Width of a vector.
    """

    dim: int = 512
    name: str = "hashing"  # as manifests call it

    @property
    def hash(self) -> str:
        """Hex digest of what shapes the vectors."""
        return hashlib.sha256(f"hashing-1-{self.dim}".encode()).hexdigest()

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return (n, dim) float32 of unit length; zeros for a text without words."""
        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in zip(out, texts, strict=True):
            words = _TOKEN.findall(clip_text(text).lower())
            terms = Counter(words)
            terms.update(f"{first} {second}" for first, second in pairwise(words))
            for term, n in terms.items():
                # crc32, not hash(): the same on every machine and in every process.
                digest = crc32(term.encode("utf-8", "replace"))
                row[digest % self.dim] += (1.0 + log1p(n - 1)) * (1.0 if digest & 0x80000000 else -1.0)
            length = sqrt(float(row @ row))
            if length:
                row /= length
        return out
