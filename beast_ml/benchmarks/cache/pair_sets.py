"""The labelled pairs of the benchmark, made ready once: their features and cosines, kept by what they depend on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.benchmarks.results import code_digest, result_key, write_arrays
from beast_ml.cache.verifier.labelled import LabelledPairs, joined_pairs
from beast_ml.cache.verifier.pair_files import read_labelled_pairs
from beast_ml.cache.verifier.profile import ProfileReader, Rarity
from beast_ml.cache.verifier.training import features_of
from beast_ml.cache.verifier.variants import changed_pairs
from beast_ml.errors import InputError
from beast_ml.features.encoder import Encoder, StaticEncoder

__all__ = [
    "FEATURE_CODE",
    "PAIR_SETS",
    "PreparedPairs",
    "adversarial_kinds",
    "adversarial_pairs",
    "load_pairs",
    "prepare",
]

Progress = Callable[[str, int, int], None]

PAIR_SETS: Final = ("qqp", "mrpc", "banking77")
"""Public sets of labelled pairs; the mock set and the adversarial set have parts of their own."""

FEATURE_CODE: Final = (
    "cache/verifier/facts.py",
    "cache/verifier/lexicon.py",
    "cache/verifier/pairs.py",
    "cache/verifier/profile.py",
    "cache/verifier/variants.py",
    "features",
)
"""What shapes features."""


def load_pairs(data: Path, name: str, most: int | None, seed: int = 0) -> LabelledPairs:
    """Return the pairs of a public set; at most so many of them, whole components of connected ones.

    Raises
    ------
    InputError
        If the set is not in the folder.
    """
    path = data / f"cache_{name}" / "pairs.parquet"
    if not path.is_file():
        raise InputError(f"{path} is not there: run `beast data pull cache_{name}` or give --data")
    pairs = read_labelled_pairs(path)
    return pairs if most is None or len(pairs) <= most else pairs.sample(most, np.random.default_rng(seed))


def _adversarial() -> list[dict[str, str | bool]]:
    content = files("beast_ml.benchmarks.cache").joinpath("adversarial.json").read_text(encoding="utf-8")
    rows: list[dict[str, str | bool]] = json.loads(content)
    return rows


def adversarial_pairs() -> LabelledPairs:
    """Return our own adversarial pairs: differences of one word that change the answer, and genuine paraphrases."""
    rows = _adversarial()
    return LabelledPairs(
        tuple(str(row["text_a"]) for row in rows),
        tuple(str(row["text_b"]) for row in rows),
        np.array([row["is_duplicate"] for row in rows], dtype=bool),
    )


def adversarial_kinds() -> tuple[str, ...]:
    """Return what each of the adversarial pairs is about: negation, number, order, ..."""
    return tuple(str(row["kind"]) for row in _adversarial())


@dataclass(frozen=True)
class PreparedPairs:
    """Pairs with their features, and changed texts to learn from with theirs.

    The rarity of words is counted over all texts of the set, those of both halves of a split: no label is in it, and
    features have to be made once only. (`beast cache evaluate` counts it on the training pairs alone.)

    Parameters
    ----------
    name
        Of the set.
    pairs
        n labelled pairs.
    rows
        (n, d) features.
    cosines
        (n,) cosines of the MiniLM vectors.
    changed
        Pairs made from its texts by rule.
    changed_rows
        Their features.
    """

    name: str
    pairs: LabelledPairs
    rows: NDArray[np.float32]
    cosines: NDArray[np.float64]
    changed: LabelledPairs
    changed_rows: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.pairs)


def prepare(
    name: str,
    pairs: LabelledPairs,
    encoder: Encoder,
    static: StaticEncoder,
    folder: Path,
    *,
    n_changed: int = 1500,
    progress: Progress = lambda _what, _done, _total: None,
) -> PreparedPairs:
    """Return pairs made ready, from the folder where an earlier run left them."""
    changed = changed_pairs(pairs.texts, n_changed, np.random.default_rng(0))
    together = joined_pairs([pairs, changed])
    key = result_key(
        {
            "pairs": [*together.text_a, *together.text_b],
            "encoder": encoder.hash,
            "static": static.hash,
            "code": code_digest(FEATURE_CODE),
        }
    )
    path = folder / f"pairs-{name}-{key}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as stored:
            rows, cosines = stored["rows"], stored["cosines"]
    else:
        reader = ProfileReader(static, Rarity.learn(pairs.texts))
        rows = features_of(reader, together, encoder, progress)
        vectors, ids = encoder.encode(together.texts), together.text_ids
        cosines = np.einsum("ij,ij->i", vectors[ids[:, 0]], vectors[ids[:, 1]]).astype(np.float64)
        write_arrays(path, rows=rows, cosines=cosines)
    n = len(pairs)
    return PreparedPairs(name, pairs, rows[:n], cosines[:n], changed, rows[n:])
