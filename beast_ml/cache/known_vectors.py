"""Vectors of texts that were embedded in training: entries of these texts are in the index at once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from beast_ml.cache.artefact_files import KNOWN_FILE
from beast_ml.errors import DataError
from beast_ml.features.encoder import Vectors, clip_text

__all__ = ["TrainedVectors", "text_digest"]


@dataclass(frozen=True)
class TrainedVectors:
    """Vectors by the digest of their text; neither the texts nor whose they are can be read from it.

    Parameters
    ----------
    digests
        (n, 16) uint8, in ascending order.
    vectors
        (n, dim) float16, of unit length.
    """

    digests: NDArray[np.uint8]
    vectors: NDArray[np.float16]

    @classmethod
    def of(cls, texts: Sequence[str], vectors: Vectors) -> TrainedVectors:
        """Return the vectors of some texts, (n, dim)."""
        digests = [text_digest(text) for text in texts]
        order = sorted(range(len(texts)), key=digests.__getitem__)
        stacked = np.frombuffer(b"".join(digests[each] for each in order), dtype=np.uint8).reshape(-1, 16)
        return cls(stacked, vectors[order].astype(np.float16))

    def __len__(self) -> int:
        return len(self.digests)

    @cached_property
    def _heads(self) -> NDArray[np.uint64]:
        return np.ascontiguousarray(self.digests[:, :8]).view(">u8").reshape(-1).astype(np.uint64)

    def get(self, text: bytes) -> Vectors | None:
        """Return the (dim,) float32 vector of the text with this digest, if it is known."""
        at = int(np.searchsorted(self._heads, np.uint64(int.from_bytes(text[:8]))))
        if at == len(self) or self.digests[at].tobytes() != text:
            return None
        vector: Vectors = self.vectors[at].astype(np.float32)
        return vector

    def save(self, folder: Path) -> None:
        """Write them into a folder."""
        (folder / KNOWN_FILE).write_bytes(save({"digests": self.digests, "vectors": self.vectors}))

    @classmethod
    def load(cls, folder: Path) -> TrainedVectors:
        """Read what `save` wrote.

        Raises
        ------
        DataError
            If it cannot be read.
        """
        try:
            arrays: dict[str, Any] = load((folder / KNOWN_FILE).read_bytes())
            return cls(arrays["digests"], arrays["vectors"])
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            raise DataError(f"no known vectors in {folder}: {error}") from error


def text_digest(text: str) -> bytes:
    """Return 16 bytes that stand for what is embedded of a text."""
    return hashlib.blake2b(clip_text(text).encode(), digest_size=16).digest()
