"""Vectors of texts that were made before, found by the hash of the encoder and of the text."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from beast_ml.errors import DataError
from beast_ml.features.encoder import Encoder, Vectors

__all__ = ["StoredVectors"]

_AT_ONCE: Final = 512
_SAVE_EVERY: Final = 20  # blocks


class StoredVectors:
    """An encoder that embeds no text twice, from run to run.

    Parameters
    ----------
    encoder
        Asked once per text, in blocks of texts of like length.
    path
        File to remember in; it is written every 10,000 texts too, so that an interrupted run goes on where it stopped.
        None: remembers in memory.
    progress
        Called with (texts done, texts in all).
    """

    def __init__(
        self,
        encoder: Encoder,
        path: Path | None = None,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> None:
        self._encoder, self._path, self._progress = encoder, path, progress
        self._rows: dict[bytes, int] = {}
        self._blocks: list[Vectors] = []
        self._all: Vectors | None = None
        if path is not None and path.is_file():
            try:
                with np.load(path, allow_pickle=False) as stored:
                    # Vectors of other weights are of no use, and no error: they are made anew.
                    if str(stored["hash"]) == encoder.hash:
                        self._blocks = [stored["vectors"]]
                        self._rows = {key.tobytes(): row for row, key in enumerate(stored["keys"])}
            except (OSError, ValueError, KeyError) as error:
                raise DataError(f"{path} cannot be read: {error}; delete it, its vectors will be made again") from error

    @property
    def name(self) -> str:
        """Name of the encoder behind it."""
        return self._encoder.name

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return self._encoder.dim

    @property
    def hash(self) -> str:
        """Hash of the encoder behind it: the vectors are the same."""
        return self._encoder.hash

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return (n, dim) float32 of unit length."""
        keys = [hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest() for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._rows}
        # Of like length together: a batch takes as long as its longest text.
        waiting = sorted(new.items(), key=lambda item: len(item[1]))
        for block, start in enumerate(range(0, len(waiting), _AT_ONCE)):
            part = waiting[start : start + _AT_ONCE]
            first = len(self._rows)
            self._blocks.append(self._encoder.encode([text for _, text in part]))
            self._rows |= {key: first + i for i, (key, _) in enumerate(part)}
            self._all = None
            self._progress(start + len(part), len(waiting))
            if block % _SAVE_EVERY == _SAVE_EVERY - 1:
                self.save()
        if not keys:
            return np.zeros((0, self.dim), dtype=np.float32)
        return self._vectors()[[self._rows[key] for key in keys]]

    def _vectors(self) -> Vectors:
        if self._all is None:
            self._all = np.concatenate(self._blocks)
            self._blocks = [self._all]
        return self._all

    def save(self) -> None:
        """Write what is remembered into the file, where there is one.

        Raises
        ------
        DataError
            If it cannot be written.
        """
        if self._path is None or not self._rows:
            return
        keys = np.frombuffer(b"".join(self._rows), dtype=np.uint8).reshape(len(self._rows), -1)
        unfinished = self._path.with_name(f".{self._path.stem}.{os.getpid()}.npz")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(unfinished, allow_pickle=False, hash=np.array(self.hash), keys=keys, vectors=self._vectors())
            unfinished.replace(self._path)
        except OSError as error:
            raise DataError(f"cannot write {self._path}: {error}; choose another folder") from error
