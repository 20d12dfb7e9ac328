"""A text made ready to be compared: its facts, its words with their rarity and meaning, its character n-grams."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.cache.verifier.facts import TextFacts, read_facts
from beast_ml.cache.verifier.lexicon import COMMON
from beast_ml.features.encoder import StaticEncoder

__all__ = ["Profile", "ProfileReader", "Rarity"]

Floats = NDArray[np.float32]

_MAX_WORDS: Final = 40
_GRAM: Final = 4
_KEPT: Final = 32_768


@dataclass(frozen=True)
class Rarity:
    """How rare words are: ln((1 + n) / (1 + texts with the word)); a word never seen is as rare as can be.

    Parameters
    ----------
    weights
        By word, for words that two texts or more have.
    unseen
        Of every other word.
    """

    weights: Mapping[str, float]
    unseen: float

    @classmethod
    def learn(cls, texts: Iterable[str]) -> Rarity:
        """Return the rarity of words in these texts."""
        counts: Counter[str] = Counter()
        n = 0
        for text in texts:
            counts.update(set(read_facts(text).words))
            n += 1
        weights = {word: log((1 + n) / (1 + count)) for word, count in counts.items() if count > 1}
        return cls(weights, log((1 + n) / 2))

    def of(self, word: str) -> float:
        """Return the rarity of one word."""
        return self.weights.get(word, self.unseen)


@dataclass(frozen=True, slots=True)
class Profile:
    """A text made ready.

    Parameters
    ----------
    facts
        What it says.
    words
        Distinct content words (all words where it has no content), in order; k of them, at most 40.
    rarity
        (k,) how rare they are.
    vectors
        (k, dim) of unit length, what they mean.
    bag
        Distinct words, common ones too.
    bigrams
        Neighbouring words.
    grams
        Character 4-grams.
    n_chars
        Length.
    static
        (dim,) the text's static vector.
    """

    facts: TextFacts
    words: tuple[str, ...]
    rarity: Floats
    vectors: Floats
    bag: frozenset[str]
    bigrams: frozenset[tuple[str, str]]
    grams: frozenset[str]
    n_chars: int
    static: Floats


class ProfileReader:
    """Makes texts ready and remembers the last ones: the entries of a cache come up again and again.

    Parameters
    ----------
    static
        Static table, for the meaning of single words.
    rarity
        Of words.
    """

    def __init__(self, static: StaticEncoder, rarity: Rarity) -> None:
        self._static, self._rarity = static, rarity
        self._vectors: dict[str, Floats] = {}
        self._profiles: OrderedDict[str, Profile] = OrderedDict()

    def read(self, text: str) -> Profile:
        """Return a text made ready."""
        known = self._profiles.get(text)
        if known is not None:
            return known
        if len(self._profiles) >= _KEPT:
            self._profiles.popitem(last=False)
        self._profiles[text] = profile = self._make(text)
        return profile

    def _make(self, text: str) -> Profile:
        facts = read_facts(text)
        words = tuple(dict.fromkeys(facts.content or facts.words))[:_MAX_WORDS]
        plain = f" {' '.join(facts.words)} "
        rarity = np.array([self._rarity.of(word) for word in words], dtype=np.float32)
        static = self._static.encode([text])[0]
        return Profile(
            facts=facts,
            words=words,
            rarity=rarity,
            vectors=self._meanings(words),
            bag=frozenset(facts.words),
            bigrams=frozenset(zip(facts.words[:-1], facts.words[1:], strict=True)),
            grams=frozenset(plain[i : i + _GRAM] for i in range(len(plain) - _GRAM + 1)),
            n_chars=len(text),
            static=static,
        )

    def _meanings(self, words: Sequence[str]) -> Floats:
        new = [word for word in words if word not in self._vectors]
        if new:
            if len(self._vectors) + len(new) > _KEPT:
                self._vectors.clear()
                new = list(words)
            self._vectors.update(zip(new, self._static.encode(new), strict=True))
        if not words:
            return np.zeros((0, self._static.dim), dtype=np.float32)
        return np.stack([self._vectors[word] for word in words])

    def common(self, word: str) -> bool:
        """Return whether a word carries little of what is asked."""
        return word in COMMON
