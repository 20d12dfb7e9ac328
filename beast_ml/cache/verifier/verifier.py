"""The learned verifier: how likely the answer to one text may be served for another. Numpy alone, no pickle."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.cache.verifier.pairs import FEATURE_NAMES, pair_features
from beast_ml.cache.verifier.profile import ProfileReader, Rarity
from beast_ml.cache.verifier.scorer import Scorer
from beast_ml.errors import BundleIntegrityError
from beast_ml.features.encoder import StaticEncoder, Vectors

__all__ = ["Verifier"]

Floats = NDArray[np.float64]

_FORMAT: Final = 1
_DESCRIPTION: Final = "verifier.json"
_ARRAYS: Final = "verifier.npz"
_WORDS: Final = "rarity.json"


@dataclass(frozen=True)
class Verifier:
    """Scores pairs of a request and a cached candidate.

    Parameters
    ----------
    scorer
        From the features of a pair to a score.
    rarity
        Of words, as learnt from the texts it was trained on.
    static
        Static table, for the meaning of single words.
    vectors
        Hash of the encoder whose vectors it compares.
    """

    scorer: Scorer
    rarity: Rarity
    static: StaticEncoder
    vectors: str

    @cached_property
    def reader(self) -> ProfileReader:
        """What makes texts ready, and remembers them."""
        return ProfileReader(self.static, self.rarity)

    @cached_property
    def hash(self) -> str:
        """Hex digest of everything that shapes a score."""
        digest = hashlib.sha256(msgspec.json.encode([_FORMAT, FEATURE_NAMES, self.static.hash, self.vectors]))
        digest.update(msgspec.json.encode([self.rarity.weights, self.rarity.unseen], order="sorted"))
        for name, array in sorted(self.scorer.arrays().items()):
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def score(self, texts_a: Sequence[str], texts_b: Sequence[str], vectors_a: Vectors, vectors_b: Vectors) -> Floats:
        """Return (n,) scores of n pairs, inside (0, 1); the same whichever text is first.

        Parameters
        ----------
        texts_a, texts_b
            The pairs.
        vectors_a, vectors_b
            (n, dim) float32 of unit length, of the encoder that it was trained with.
        """
        return self.score_pairs(texts_a, texts_b, np.einsum("ij,ij->i", vectors_a, vectors_b))

    def score_pairs(self, texts_a: Sequence[str], texts_b: Sequence[str], cosines: Vectors) -> Floats:
        """Return (n,) scores of n pairs, as `score` does, from the (n,) float32 cosines of their vectors."""
        if not len(texts_a):
            return np.zeros(0)
        return self.scorer.score(pair_features(self.reader, texts_a, texts_b, cosines))

    def save(self, folder: Path) -> None:
        """Write ``verifier.json``, ``verifier.npz`` and ``rarity.json`` into a folder, creating it."""
        folder.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        arrays: dict[str, Any] = self.scorer.arrays()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        files = {
            _ARRAYS: buffer.getvalue(),
            _WORDS: msgspec.json.encode({"weights": self.rarity.weights, "unseen": self.rarity.unseen}),
        }
        for name, content in files.items():
            (folder / name).write_bytes(content)
        description = {
            "format": _FORMAT,
            "features": FEATURE_NAMES,
            "static": self.static.hash,
            "vectors": self.vectors,
            "hash": self.hash,
            "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        }
        (folder / _DESCRIPTION).write_bytes(msgspec.json.format(msgspec.json.encode(description)))

    @classmethod
    def load(cls, folder: Path, static: StaticEncoder) -> Verifier:
        """Read what `save` wrote.

        Raises
        ------
        BundleIntegrityError
            If a file is absent, damaged, of another version of this library, or of another static table.
        """
        try:
            description = msgspec.json.decode((folder / _DESCRIPTION).read_bytes())
            contents = {name: (folder / name).read_bytes() for name in (_ARRAYS, _WORDS)}
            if description["format"] != _FORMAT or tuple(description["features"]) != FEATURE_NAMES:
                raise BundleIntegrityError(f"the verifier in {folder} is of another version: train it again")
            if description["static"] != static.hash:
                raise BundleIntegrityError(f"the verifier in {folder} was trained with another static table")
            for name, content in contents.items():
                if hashlib.sha256(content).hexdigest() != description["files"][name]:
                    raise BundleIntegrityError(f"{folder / name} is not what was written: restore or train it again")
            words = msgspec.json.decode(contents[_WORDS])
            with np.load(io.BytesIO(contents[_ARRAYS]), allow_pickle=False) as arrays:
                scorer = Scorer.from_arrays(dict(arrays))
            rarity = Rarity(words["weights"], words["unseen"])
            return cls(scorer, rarity, static, description["vectors"])
        except (OSError, KeyError, TypeError, ValueError, msgspec.DecodeError) as error:
            raise BundleIntegrityError(f"no readable verifier in {folder}: {error}") from error
