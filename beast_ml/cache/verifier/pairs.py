"""Features of a pair of texts: how near they are, and in what they differ. Swapping the texts changes none of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.cache.verifier.lexicon import COMMON, DIRECTIONS, OPPOSITE_PREFIXES, OPPOSITES
from beast_ml.cache.verifier.profile import Profile, ProfileReader

__all__ = ["FEATURE_NAMES", "pair_features"]

Floats = NDArray[np.float32]
_Row = dict[str, float]

_SYMMETRIC: Final = frozenset({"and", "or", "vs", "versus", "between"})
_NONE: Final[frozenset[str]] = frozenset()
_VALUES: Final = ("numbers", "quantities", "dates", "names", "code")


_ALIGNED: Final = (
    "aligned_low",
    "aligned_high",
    "lost_low",
    "lost_high",
    "lost_worst_low",
    "lost_worst_high",
    "aligned_worst_low",
    "aligned_worst_high",
    "rest_near",
    "rest_both",
    "rest_on_subject",
    "swap_nearest",
    "swap_farthest",
)
"""Of the words that are not the same, laid beside the nearest of the other text."""

FEATURE_NAMES: Final = (
    "cosine",
    "static_cosine",
    "cosine_gap",
    "rare_covered_low",
    "rare_covered_high",
    "rare_common",
    "rare_left_low",
    "rare_left_high",
    "rarest_left",
    "rarest_left_low",
    "rarest_common",
    "left_low",
    "left_high",
    *_ALIGNED,
    "bag_jaccard",
    "bag_contained",
    "bigram_jaccard",
    "bigram_contained",
    "gram_jaccard",
    "gram_contained",
    "words_ratio",
    "words_shorter",
    "words_longer",
    "chars_ratio",
    "same_start",
    "same_end",
    "first_word_same",
    "last_word_same",
    "antonyms",
    "negations_differ",
    "negations_any",
    "polarity_differs",
    "roles_same",
    "roles_differ",
    "roles_moved",
    "order_turned",
    "same_bag_other_order",
    "order_turned_near",
    "same_stems",
    "same_stems_turned",
    "symmetric_link",
    "directions_same",
    "question_same",
    "question_conflict",
    "question_reason",
    "question_way",
    "question_amount",
    "numbers_common",
    "numbers_conflict",
    "numbers_one_sided",
    "numbers_any",
    "quantities_common",
    "quantities_conflict",
    "quantities_one_sided",
    "quantities_any",
    "dates_common",
    "dates_conflict",
    "dates_one_sided",
    "dates_any",
    "names_common",
    "names_conflict",
    "names_one_sided",
    "names_any",
    "code_common",
    "code_conflict",
    "code_one_sided",
    "code_any",
    "names_alone",
    "equal_words",
    "equal_content",
    "only_common_left",
)
"""Columns of `pair_features`, in their order."""


def _overlap(row: _Row, name: str, a: frozenset[object], b: frozenset[object]) -> None:
    """Three numbers on two sets: share in common, whether each has what the other lacks, whether one is empty."""
    both, either = len(a & b), len(a | b)
    row[f"{name}_common"] = both / either if either else 1.0
    row[f"{name}_conflict"] = float(bool(a - b) and bool(b - a))
    row[f"{name}_one_sided"] = float(bool(a) != bool(b) or (a != b and not (a - b and b - a)))
    row[f"{name}_any"] = float(bool(either))


def _wording(row: _Row, a: Profile, b: Profile) -> None:
    for name, x, y in (("bag", a.bag, b.bag), ("bigram", a.bigrams, b.bigrams), ("gram", a.grams, b.grams)):
        both, smaller = len(x & y), min(len(x), len(y))
        row[f"{name}_jaccard"] = both / max(len(x) + len(y) - both, 1)
        row[f"{name}_contained"] = both / max(smaller, 1)
    words_a, words_b = a.facts.words, b.facts.words
    shorter, longer = sorted((len(words_a), len(words_b)))
    row["words_ratio"] = shorter / max(longer, 1)
    row["words_shorter"] = float(np.log1p(shorter))
    row["words_longer"] = float(np.log1p(longer))
    row["chars_ratio"] = min(a.n_chars, b.n_chars) / max(a.n_chars, b.n_chars, 1)
    begin = _same_start(words_a, words_b)
    end = _same_start(words_a[::-1], words_b[::-1])
    row["same_start"] = begin / max(shorter, 1)
    row["same_end"] = min(end, shorter - begin) / max(shorter, 1)
    row["first_word_same"] = float(words_a[:1] == words_b[:1])
    row["last_word_same"] = float(words_a[-1:] == words_b[-1:])


def _same_start(a: Sequence[str], b: Sequence[str]) -> int:
    n = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        n += 1
    return n


def _rare_words(row: _Row, a: Profile, b: Profile) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Shares of rarity in common; returns which words only one of the texts has."""
    only_a = np.array([word not in b.bag for word in a.words], dtype=bool)
    only_b = np.array([word not in a.bag for word in b.words], dtype=bool)
    left_a, left_b = float(a.rarity[only_a].sum()), float(b.rarity[only_b].sum())
    all_a, all_b = float(a.rarity.sum()) + 1e-6, float(b.rarity.sum()) + 1e-6
    covered = sorted((1 - left_a / all_a, 1 - left_b / all_b))
    row["rare_covered_low"], row["rare_covered_high"] = covered
    row["rare_common"] = (all_a - left_a + all_b - left_b) / (all_a + all_b)
    row["rare_left_low"], row["rare_left_high"] = sorted((left_a, left_b))
    row["rarest_left"] = max(a.rarity[only_a].max(initial=0.0), b.rarity[only_b].max(initial=0.0))
    row["rarest_left_low"] = min(a.rarity[only_a].max(initial=0.0), b.rarity[only_b].max(initial=0.0))
    row["rarest_common"] = float(a.rarity[~only_a].max(initial=0.0))
    row["left_low"], row["left_high"] = sorted((float(only_a.sum()), float(only_b.sum())))
    return only_a, only_b


def _alignment(row: _Row, a: Profile, b: Profile, only_a: NDArray[np.bool_], only_b: NDArray[np.bool_]) -> None:
    """Each word against the word of the other text that is nearest in meaning: what stays alone changes the meaning."""
    if not len(a.words) or not len(b.words):
        for name in _ALIGNED:
            row[name] = 0.0
        return
    near = a.vectors @ b.vectors.T
    best_a, best_b = near.max(1), near.max(0)
    weight_a, weight_b = a.rarity / (a.rarity.sum() + 1e-6), b.rarity / (b.rarity.sum() + 1e-6)
    means = sorted((float(best_a @ weight_a), float(best_b @ weight_b)))
    row["aligned_low"], row["aligned_high"] = means
    # How much rarity stays without a counterpart, and the one worst word.
    lost_a, lost_b = (1 - best_a) * a.rarity, (1 - best_b) * b.rarity
    row["lost_low"], row["lost_high"] = sorted((float(lost_a.sum()), float(lost_b.sum())))
    row["lost_worst_low"], row["lost_worst_high"] = sorted((float(lost_a.max()), float(lost_b.max())))
    row["aligned_worst_low"], row["aligned_worst_high"] = sorted((float(best_a.min()), float(best_b.min())))
    # What only one has, as a whole: "two-step" for "two-factor" is near, "disable" for "enable" nearer still.
    rest_a = (a.vectors[only_a] * a.rarity[only_a, None]).sum(0)
    rest_b = (b.vectors[only_b] * b.rarity[only_b, None]).sum(0)
    sizes = float(np.linalg.norm(rest_a) * np.linalg.norm(rest_b))
    row["rest_near"] = float(rest_a @ rest_b) / sizes if sizes > 1e-9 else 0.0
    row["rest_both"] = float(sizes > 1e-9)
    # The words that only one has, against the whole other text: details that are merely added are on its subject.
    row["rest_on_subject"] = min(_towards(rest_a, b.static), _towards(rest_b, a.static))
    inner = near[np.ix_(only_a, only_b)]
    row["swap_nearest"] = float(inner.max(initial=0.0))
    row["swap_farthest"] = float(min(inner.max(1).min(), inner.max(0).min())) if inner.size else 1.0


def _towards(rest: Floats, whole: Floats) -> float:
    size = float(np.linalg.norm(rest) * np.linalg.norm(whole))
    return float(rest @ whole) / size if size > 1e-9 else 1.0


def _polarity(row: _Row, a: Profile, b: Profile) -> None:
    left_a, left_b = a.bag - b.bag, b.bag - a.bag
    turned = sum(not OPPOSITES.get(x, _NONE).isdisjoint(left_b) or any(_prefixed(x, y) for y in left_b) for x in left_a)
    negated = (a.facts.negations - b.facts.negations) % 2
    row["antonyms"] = float(min(turned, 2))
    row["negations_differ"] = float(a.facts.negations != b.facts.negations)
    row["negations_any"] = float(a.facts.negations + b.facts.negations > 0)
    row["polarity_differs"] = float((negated + turned) % 2)


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _prefixed(x: str, y: str) -> bool:
    long, short = (x, y) if len(x) > len(y) else (y, x)
    return len(short) > 3 and long.endswith(short) and long[: -len(short)] in OPPOSITE_PREFIXES


def _order(row: _Row, a: Profile, b: Profile) -> None:
    """Whether the words they share play the same parts, in the same order."""
    # Sorted, for a word may have two roles, and which one counts must not depend on the process.
    roles_a, roles_b = dict(sorted(a.facts.roles)), dict(sorted(b.facts.roles))
    shared = roles_a.keys() & roles_b.keys()
    row["roles_same"] = float(sum(roles_a[word] == roles_b[word] for word in shared))
    row["roles_differ"] = float(sum(roles_a[word] != roles_b[word] for word in shared))
    # A word that had a part in one text and stands free in the other: "is X before Y" against "is Y before X".
    row["roles_moved"] = float(
        len((roles_a.keys() & b.bag) - roles_b.keys()) + len((roles_b.keys() & a.bag) - roles_a.keys())
    )
    place_b = {word: i for i, word in enumerate(b.words)}
    order = [place_b[word] for word in a.words if word in place_b]
    pairs = len(order) * (len(order) - 1) // 2
    turned = sum(order[j] < order[i] for i in range(len(order)) for j in range(i + 1, len(order)))
    row["order_turned"] = turned / pairs if pairs else 0.0
    same_words = a.bag == b.bag
    row["same_bag_other_order"] = float(same_words and a.facts.words != b.facts.words)
    row["order_turned_near"] = row["order_turned"] * len(a.bag & b.bag) / max(len(a.bag | b.bag), 1)
    # "What share of terrorists are Muslim" against "... of Muslims are terrorists"; "A and B" may be turned round.
    stems_a, stems_b = (tuple(_stem(word) for word in side.facts.content) for side in (a, b))
    row["same_stems"] = float(sorted(stems_a) == sorted(stems_b))
    row["same_stems_turned"] = float(row["same_stems"] > 0 and stems_a != stems_b)
    row["symmetric_link"] = float(bool(a.bag & _SYMMETRIC and b.bag & _SYMMETRIC))
    row["directions_same"] = float(a.bag & DIRECTIONS == b.bag & DIRECTIONS)


def _question(row: _Row, a: Profile, b: Profile) -> None:
    x, y = a.facts.question, b.facts.question
    row["question_same"] = float(x == y)
    row["question_conflict"] = float(x != y and x != "" and y != "")
    row["question_reason"] = float((x == "why") != (y == "why"))
    row["question_way"] = float((x == "how") != (y == "how"))
    row["question_amount"] = float(x.startswith("how ") != y.startswith("how "))


def _facts(row: _Row, a: Profile, b: Profile) -> None:
    for name in _VALUES:
        _overlap(row, name, getattr(a.facts, name), getattr(b.facts, name))
    # A name that the other text has without its capitals is no difference.
    alone_a = {word for word in a.facts.names - b.facts.names if word not in b.bag}
    alone_b = {word for word in b.facts.names - a.facts.names if word not in a.bag}
    row["names_conflict"] = float(bool(alone_a) and bool(alone_b))
    row["names_alone"] = float(len(alone_a) + len(alone_b))
    row["equal_words"] = float(a.facts.words == b.facts.words)
    row["equal_content"] = float(bool(a.facts.content) and a.facts.content == b.facts.content)
    row["only_common_left"] = float(all(word in COMMON for word in a.bag ^ b.bag))


_BLOCKS: Final[tuple[Callable[[_Row, Profile, Profile], None], ...]] = (_wording, _polarity, _order, _question, _facts)


def _row(reader: ProfileReader, text_a: str, text_b: str, cosine: float) -> _Row:
    # Sorted, so that rounding is the same either way round.
    a, b = (reader.read(text) for text in sorted((text_a, text_b)))
    row: _Row = {"cosine": cosine, "static_cosine": float(a.static @ b.static)}
    row["cosine_gap"] = float(np.log(max(1.0 - cosine, 1e-3)))
    only_a, only_b = _rare_words(row, a, b)
    _alignment(row, a, b, only_a, only_b)
    for block in _BLOCKS:
        block(row, a, b)
    return row


def pair_features(reader: ProfileReader, texts_a: Sequence[str], texts_b: Sequence[str], cosines: Floats) -> Floats:
    """Return (n, len(FEATURE_NAMES)) float32 features of n pairs.

    Parameters
    ----------
    reader
        Makes texts ready.
    texts_a, texts_b
        The pairs; which is which does not matter.
    cosines
        (n,) cosines of their MiniLM vectors.
    """
    out = np.empty((len(texts_a), len(FEATURE_NAMES)), dtype=np.float32)
    for i, (a, b) in enumerate(zip(texts_a, texts_b, strict=True)):
        out[i] = list(_row(reader, a, b, float(cosines[i])).values())
    return out
