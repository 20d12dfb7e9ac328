"""Token ids of a text from a dictionary of its words: what BERT's tokenizer says, at a fifth of its time.

BERT's tokenizer deletes control characters, lower-cases, splits at white space, punctuation and Chinese characters,
and looks at each word by itself. So the ids of a text are those of its words put together, and a word has to be
tokenized once only.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

__all__ = ["WordPieceIds", "splits_like_bert"]

_NORMALIZER: Final = {
    "type": "BertNormalizer",
    "clean_text": True,
    "handle_chinese_chars": True,
    "strip_accents": None,
    "lowercase": True,
}
_PRE_TOKENIZER: Final = {"type": "BertPreTokenizer"}

_MAX_WORDS: Final = 32_768
_MAX_KEPT_CHARS: Final = 64

# Bytes, because `bytes.lower` leaves everything but A-Z to the tokenizer, and so must this.
_LOWER: Final = bytes(range(256)).lower()
_CONTROLS: Final = bytes(code for code in chain(range(32), (127,)) if chr(code) not in "\t\n\r")
_PUNCTUATION: Final = r"!-/:-@\[-`{-~"
_CHINESE: Final = r"\u4e00-\u9fff"
_WORD: Final = re.compile(
    rf"[^\t\n\r {_PUNCTUATION}{_CHINESE}]+|[{_PUNCTUATION}{_CHINESE}]",
)


def splits_like_bert(tokenizer_json: bytes) -> bool:
    """Return whether a tokenizer is BERT's lower-casing WordPiece, whose words do not depend on each other."""
    spec: dict[str, Any] = msgspec.json.decode(tokenizer_json)
    return (
        spec.get("normalizer") == _NORMALIZER
        and spec.get("pre_tokenizer") == _PRE_TOKENIZER
        and spec["model"].get("type") == "WordPiece"
        and not any(token["normalized"] for token in spec.get("added_tokens", ()))
    )


class WordPieceIds(dict[str, bytes]):
    """Token ids by word, as the bytes of an array; a word that is not there is asked of the tokenizer and kept.

    At most 32,768 words are kept: when they are, it starts over.

    Parameters
    ----------
    tokenizer
        One that `splits_like_bert`.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self._tokenizer = tokenizer
        # Such as "[SEP]": the tokenizer looks for them in the text as it came, before anything else.
        self._special = tuple(token.content for token in tokenizer.get_added_tokens_decoder().values())

    def of(self, text: str) -> NDArray[np.intp]:
        """Return the token ids of a text that can be encoded."""
        for special in self._special:
            if special in text:
                return self._ask(text)
        words = _WORD.findall(text.encode().translate(_LOWER, _CONTROLS).decode())
        return np.frombuffer(b"".join(map(self.__getitem__, words)), dtype=np.intp)

    def __missing__(self, word: str) -> bytes:
        # A word of the vocabulary is its own only piece; beyond ASCII, the tokenizer changes the word first.
        whole = self._tokenizer.token_to_id(word) if word.isascii() else None
        ids = (self._ask(word) if whole is None else np.array([whole], dtype=np.intp)).tobytes()
        if len(word) <= _MAX_KEPT_CHARS:
            if len(self) >= _MAX_WORDS:
                self.clear()
            self[word] = ids
        return ids

    def _ask(self, text: str) -> NDArray[np.intp]:
        return np.array(self._tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.intp)
