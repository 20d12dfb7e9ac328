"""A verifier with the evidence that its threshold is chosen on: what a trained cache keeps, and a worker loads."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from beast_ml.cache.verifier.labelled import LabelledPairs
from beast_ml.cache.verifier.partition_thresholds import PartitionThresholds
from beast_ml.cache.verifier.risk import RiskTarget, Threshold, choose_threshold
from beast_ml.cache.verifier.training import TrainingConfig, fit_verifier
from beast_ml.cache.verifier.verifier import Verifier
from beast_ml.errors import BundleIntegrityError
from beast_ml.features.encoder import Encoder, StaticEncoder

__all__ = ["N_CANDIDATES", "TrainedVerifier"]

N_CANDIDATES: Final = 2
"""Nearest entries that the verifier looks at, in service and in replays. Labelled pairs promise half of epsilon for
one, and so epsilon for the best of two, however they are wrong together."""

_FORMAT: Final = 1
_DESCRIPTION: Final = "evidence.json"
_ARRAYS: Final = "evidence.npz"
_STRICTEST: Final = 0.01
_MOST_WRONG: Final = 0.05


@dataclass(frozen=True)
class TrainedVerifier:
    """A verifier, and what it made of the labelled pairs it learnt from; of their texts it knows which are the same.

    Parameters
    ----------
    verifier
        Fitted on all pairs.
    scores
        (n,) float64 score of each pair by a model that saw neither of its texts.
    right
        (n,) whether the answer to one text may be served for the other.
    texts
        (n, 2) int64 numbers of the two texts.
    """

    verifier: Verifier
    scores: NDArray[np.float64]
    right: NDArray[np.bool_]
    texts: NDArray[np.int64]

    @classmethod
    def fit(
        cls,
        pairs: LabelledPairs,
        encoder: Encoder,
        static: StaticEncoder,
        config: TrainingConfig | None = None,
        progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
    ) -> TrainedVerifier:
        """Return a verifier fitted on labelled pairs; parameters and errors as of `fit_verifier`."""
        fitted = fit_verifier(pairs, encoder, static, config, progress)
        return cls(fitted.verifier, fitted.scores, pairs.same, pairs.text_ids)

    @property
    def vectors(self) -> str:
        """Hash of the encoder whose vectors it compares."""
        return self.verifier.vectors

    @cached_property
    def hash(self) -> str:
        """Hex digest of everything that shapes a score or a threshold."""
        digest = hashlib.sha256(f"{_FORMAT} {self.verifier.hash} {len(self.scores)}".encode())
        for array in (self.scores, self.right, self.texts):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def threshold(self, target: RiskTarget) -> Threshold:
        """Return the loosest threshold that keeps the target in the long run, by the evidence."""
        return choose_threshold(self.scores, self.right, target, texts=self.texts)

    def thresholds(self, target: RiskTarget, least_audit: float) -> PartitionThresholds:
        """Return where thresholds begin in service, to be moved by verified lookups.

        At half of epsilon, for labelled pairs say little of the one partition that is unlike them.

        Parameters
        ----------
        target
            What is promised.
        least_audit
            Smallest probability with which a lookup is verified; see `PartitionThresholds`.
        """
        start = self.threshold(RiskTarget(target.epsilon / 2, target.delta)).value
        return PartitionThresholds(target, self.grid(), least_audit, start)

    def grid(self, n: int = 32) -> tuple[float, ...]:
        """Return at most n falling thresholds to choose from in service.

        From the one that 1% of the labelled pairs reach, each lets through the same multiple of the pairs before it:
        near the top, where a false-hit rate is small, they lie close. The last is the loosest with at most 5% wrong
        hits, more than anybody would promise.
        """
        order = np.argsort(-self.scores, kind="stable")
        ranked, wrong = self.scores[order], np.cumsum(~self.right[order])
        least, most = max(int(_STRICTEST * len(ranked)), 1), int((wrong <= _MOST_WRONG * len(ranked)).sum())
        reached = np.geomspace(least, most, n).round().astype(int)
        return tuple(dict.fromkeys(ranked[reached - 1].tolist()))

    def save(self, folder: Path) -> None:
        """Write the verifier's files, ``evidence.npz`` and ``evidence.json`` into a folder, creating it."""
        self.verifier.save(folder)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, scores=self.scores, right=self.right, texts=self.texts)
        (folder / _ARRAYS).write_bytes(buffer.getvalue())
        description = {
            "format": _FORMAT,
            "hash": self.hash,
            "files": {_ARRAYS: hashlib.sha256(buffer.getvalue()).hexdigest()},
        }
        (folder / _DESCRIPTION).write_bytes(msgspec.json.format(msgspec.json.encode(description)))

    @classmethod
    def load(cls, folder: Path, static: StaticEncoder) -> TrainedVerifier:
        """Read what `save` wrote.

        Raises
        ------
        BundleIntegrityError
            If a file is absent, damaged, of another version of this library, of another static table, or the
            evidence is of another verifier.
        """
        verifier = Verifier.load(folder, static)
        try:
            description = msgspec.json.decode((folder / _DESCRIPTION).read_bytes())
            content = (folder / _ARRAYS).read_bytes()
            if description["format"] != _FORMAT:
                raise BundleIntegrityError(f"the evidence in {folder} is of another version: train the verifier again")
            if hashlib.sha256(content).hexdigest() != description["files"][_ARRAYS]:
                raise BundleIntegrityError(f"{folder / _ARRAYS} is not what was written: restore or train it again")
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                trained = cls(verifier, arrays["scores"], arrays["right"], arrays["texts"])
        except (OSError, KeyError, TypeError, ValueError, msgspec.DecodeError) as error:
            raise BundleIntegrityError(f"no readable evidence in {folder}: {error}") from error
        if trained.hash != description["hash"]:
            raise BundleIntegrityError(f"the evidence in {folder} is of another verifier: train it again")
        return trained
