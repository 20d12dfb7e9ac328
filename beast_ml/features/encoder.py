"""Text to vectors: the `Encoder` protocol and the static table that serves it in microseconds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save
from tokenizers import Tokenizer

from beast_ml.errors import EncoderError
from beast_ml.features.wordpiece import WordPieceIds, splits_like_bert

__all__ = ["Encoder", "StaticEncoder", "clip_text"]

Vectors = NDArray[np.float32]

_CLIP_CHARS: Final = 1000


def clip_text(text: str, chars: int = _CLIP_CHARS) -> str:
    """Return a text's head and tail: the instruction is usually first, the question usually last.

    Lone surrogates, which no tokenizer takes, come back as question marks.
    """
    if len(text) > 2 * chars:
        text = f"{text[:chars]}\n{text[-chars:]}"
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


class Encoder(Protocol):
    """Anything that turns texts into vectors of a fixed width.

    ``name`` says what it is, ``hash`` which exact weights: two encoders with equal hashes give equal vectors.
    """

    @property
    def name(self) -> str:
        """What it is called in feature specs."""
        ...

    @property
    def dim(self) -> int:
        """Width of a vector."""
        ...

    @property
    def hash(self) -> str:
        """Hex digest of everything that shapes the vectors."""
        ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return (n, dim) float32; the vector of a text does not depend on the texts beside it."""
        ...


@dataclass(frozen=True)
class StaticEncoder:
    """The mean of weighted token vectors, scaled to unit length.

    Parameters
    ----------
    table
        (vocabulary, dim) float16; the weight of a token is folded into its row.
    tokenizer_json
        The tokenizer in the format of the ``tokenizers`` package.
    """

    table: NDArray[np.float16]
    tokenizer_json: bytes
    name: str = "static"  # as manifests call it

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return int(self.table.shape[1])

    @cached_property
    def hash(self) -> str:
        """Hex digest of table and tokenizer."""
        digest = hashlib.sha256(self.tokenizer_json)
        digest.update(np.ascontiguousarray(self.table).data)
        return digest.hexdigest()

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer.from_buffer(self.tokenizer_json)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    @cached_property
    def _words(self) -> WordPieceIds | None:
        """Return the fast way to token ids, for a tokenizer that has one."""
        return WordPieceIds(self._tokenizer) if splits_like_bert(self.tokenizer_json) else None

    @cached_property
    def _rows(self) -> Vectors:
        return self.table.astype(np.float32)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return (n, dim) float32 of unit length; zeros for a text without tokens."""
        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        # One text at a time on purpose, in the pooling as well: a text's vector is then the same to the bit,
        # alone or in a batch.
        for row, ids in zip(out, self._token_ids([clip_text(text) for text in texts]), strict=True):
            if len(ids):
                np.add.reduce(self._rows.take(ids, axis=0), axis=0, out=row)
                row /= np.sqrt(row @ row) + np.float32(1e-12)
        return out

    def _token_ids(self, texts: Sequence[str]) -> Iterable[Sequence[int] | NDArray[np.intp]]:
        if self._words is not None:
            return map(self._words.of, texts)
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return (encoding.ids for encoding in encodings)

    def save(self, folder: Path) -> None:
        """Write ``table.safetensors`` and ``tokenizer.json`` into a folder, creating it."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "table.safetensors").write_bytes(save({"table": self.table}))
        (folder / "tokenizer.json").write_bytes(self.tokenizer_json)

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs of it; the rest is made again there."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def load(cls, folder: Path) -> StaticEncoder:
        """Read what `save` wrote.

        Raises
        ------
        EncoderError
            If a file is absent or damaged.
        """
        try:
            table = load((folder / "table.safetensors").read_bytes())["table"]
            encoder = cls(table, (folder / "tokenizer.json").read_bytes())
            encoder._words  # noqa: B018  parse it now: a damaged file must fail here, not at the first request
        except Exception as error:  # the two parsers raise bare Exception and types of their own
            raise EncoderError(f"no usable static encoder in {folder}: {error}") from error
        return encoder
