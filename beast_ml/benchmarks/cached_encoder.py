"""An encoder that embeds no text twice: cross-validation asks for the same prompts in every fold."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from beast_ml.benchmarks.results import write_arrays
from beast_ml.features.encoder import Encoder, Vectors
from beast_ml.policy.learner import RouterLearner

__all__ = ["CachedEncoder", "CachingLearner"]


@dataclass
class CachedEncoder:
    """Passes on what another encoder says, and remembers it.

    Parameters
    ----------
    encoder
        The encoder that is asked once per text.
    path
        File to remember in from run to run, or None.
    """

    encoder: Encoder
    path: Path | None = None
    _rows: dict[bytes, int] = field(default_factory=dict, init=False, repr=False)
    _vectors: Vectors = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._vectors = np.empty((0, self.encoder.dim), dtype=np.float32)
        if self.path is not None and self.path.is_file():
            with np.load(self.path, allow_pickle=False) as stored:
                # Vectors of other weights are of no use, and no error: they are made anew.
                if str(stored["hash"]) == self.hash:
                    self._vectors = stored["vectors"]
                    self._rows = {key.tobytes(): row for row, key in enumerate(stored["keys"])}

    @property
    def name(self) -> str:
        """Name of the encoder behind it."""
        return self.encoder.name

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return self.encoder.dim

    @property
    def hash(self) -> str:
        """Hash of the encoder behind it: the vectors are the same."""
        return self.encoder.hash

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return (n, dim) float32."""
        keys = [hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest() for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._rows}
        if new:
            first = len(self._vectors)
            self._vectors = np.concatenate([self._vectors, self.encoder.encode(list(new.values()))])
            self._rows |= {key: first + i for i, key in enumerate(new)}
        return self._vectors[[self._rows[key] for key in keys]]

    def save(self) -> None:
        """Write what was remembered into the file, where there is one."""
        if self.path is not None and self._rows:
            keys = np.frombuffer(b"".join(self._rows), dtype=np.uint8).reshape(len(self._rows), -1)
            write_arrays(self.path, hash=np.array(self.hash), keys=keys, vectors=self._vectors)


@dataclass(frozen=True)
class CachingLearner(RouterLearner):
    """Learns routers with an encoder that remembers.

    Parameters
    ----------
    remembering
        The encoder; it must pass on the one that is named.
    """

    remembering: CachedEncoder | None = None

    def load_encoder(self) -> Encoder:
        """Return the encoder that remembers, where there is one."""
        return self.remembering or super().load_encoder()
