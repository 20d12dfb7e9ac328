"""Texts as bags of tokens: what a static table sums, kept as counts so that the table can be trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from beast_ml.features.encoder import StaticEncoder, clip_text

__all__ = ["TokenBags"]

Index = NDArray[np.int64]


@dataclass(frozen=True)
class TokenBags:
    """The tokens of n texts, one after the other.

    Parameters
    ----------
    tokens
        (t,) token ids; each once per text.
    counts
        (t,) how often the text has it.
    starts
        (n + 1,) where each text begins in them; the last is t.
    """

    tokens: Index
    counts: NDArray[np.float32]
    starts: Index

    @classmethod
    def of(cls, encoder: StaticEncoder, texts: Sequence[str]) -> TokenBags:
        """Return the tokens that a static encoder looks up for these texts."""
        tokenizer = Tokenizer.from_buffer(encoder.tokenizer_json)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        clipped = [clip_text(text) for text in texts]
        bags = [
            np.unique(np.array(encoding.ids, dtype=np.int64), return_counts=True)
            for encoding in tokenizer.encode_batch_fast(clipped, add_special_tokens=False)
        ]
        return cls(
            tokens=np.concatenate([np.zeros(0, dtype=np.int64), *(tokens for tokens, _ in bags)]),
            counts=np.concatenate([np.zeros(0), *(counts for _, counts in bags)]).astype(np.float32),
            starts=np.cumsum([0, *(len(tokens) for tokens, _ in bags)], dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.starts) - 1

    def select(self, texts: Index | NDArray[np.intp]) -> TokenBags:
        """Return the bags of some texts, in the order asked for."""
        sizes = self.starts[texts + 1] - self.starts[texts]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        where = np.arange(starts[-1]) + np.repeat(self.starts[texts] - starts[:-1], sizes)
        return TokenBags(self.tokens[where], self.counts[where], starts)
