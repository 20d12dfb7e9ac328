"""Fit a verifier on labelled pairs, and score those pairs with models that have not seen their texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from beast_ml.cache.verifier.forest import Forest
from beast_ml.cache.verifier.labelled import LabelledPairs
from beast_ml.cache.verifier.pairs import FEATURE_NAMES, pair_features
from beast_ml.cache.verifier.profile import ProfileReader, Rarity
from beast_ml.cache.verifier.scorer import Linear, Scorer
from beast_ml.cache.verifier.variants import changed_pairs
from beast_ml.cache.verifier.verifier import Verifier
from beast_ml.errors import MissingExtraError, NotEnoughDataError
from beast_ml.features.encoder import Encoder, StaticEncoder

__all__ = [
    "LEAST_OF_EACH",
    "FittedVerifier",
    "TrainingConfig",
    "cross_scores",
    "features_of",
    "fit_scorer",
    "fit_verifier",
]

Floats = NDArray[np.float64]
Features = NDArray[np.float32]
Ints = NDArray[np.int64]
Progress = Callable[[str, int, int], None]

LEAST_OF_EACH: Final = 20
"""Pairs with the same answer, and with another, that there must be to learn from."""

_CHUNK: Final = 200
_FEW: Final = 2_000
_FOLDS, _FOLDS_OF_FEW = 5, 10
_LINEAR_C: Final = 0.1

# What can only speak for, or only against, serving the same answer; the rest may go either way.
_FOR: Final = frozenset({"cosine", "static_cosine"})
_AGAINST: Final = frozenset(
    "cosine_gap antonyms polarity_differs negations_differ roles_differ roles_moved numbers_conflict "
    "quantities_conflict dates_conflict names_conflict code_conflict names_alone question_conflict "
    "same_bag_other_order".split()
)


@dataclass(frozen=True)
class TrainingConfig:
    """How a verifier is fitted.

    Parameters
    ----------
    n_folds
        Parts that texts are drawn into, to score every pair with a model that saw neither of its texts; None: as many
        as `folds_of` says.
    n_trees, n_leaves, learning_rate, least_in_leaf
        Of the boosted trees.
    variants
        Pairs made by changing texts, as a share of the labelled ones; at most 1,500.
    variant_weight
        What one of them counts.
    seed
        Of everything that is drawn.
    """

    n_folds: int | None = None
    n_trees: int = 250
    n_leaves: int = 8
    learning_rate: float = 0.08
    least_in_leaf: int = 30
    variants: float = 0.15
    variant_weight: float = 0.5
    seed: int = 0

    def folds_of(self, n: int) -> int:
        """Return the parts for n pairs, or lookups: ten of fewer than 2,000, else five.

        A model of few pairs that lacks a fifth of them scores lower than the one of all, which then lets more through
        than the threshold was chosen for.
        """
        return self.n_folds or (_FOLDS_OF_FEW if n < _FEW else _FOLDS)


@dataclass(frozen=True)
class FittedVerifier:
    """A verifier, and what it makes of the pairs it was fitted on.

    Parameters
    ----------
    verifier
        Fitted on all pairs.
    scores
        (n,) score of each labelled pair by a model that saw neither of its texts.
    """

    verifier: Verifier
    scores: Floats


def fit_verifier(
    pairs: LabelledPairs,
    encoder: Encoder,
    static: StaticEncoder,
    config: TrainingConfig | None = None,
    progress: Progress = lambda _what, _done, _total: None,
) -> FittedVerifier:
    """Return a verifier fitted on labelled pairs.

    Parameters
    ----------
    pairs
        Like those it will meet: their scores are what a threshold is chosen on.
    encoder
        Whose vectors are compared; asked for each text once.
    static
        Static table.
    config
        Settings; None for the defaults.
    progress
        Called with (what, done, total).

    Raises
    ------
    NotEnoughDataError
        If there are fewer than 20 pairs of either kind.
    MissingExtraError
        If LightGBM or scikit-learn is not installed.
    """
    config = config or TrainingConfig()
    n_same = int(pairs.same.sum())
    if min(n_same, len(pairs) - n_same) < LEAST_OF_EACH:
        raise NotEnoughDataError(
            f"{n_same} pairs with the same answer and {len(pairs) - n_same} with another, must be "
            f"{LEAST_OF_EACH} of each at least: label more pairs"
        )
    rng = np.random.default_rng(config.seed)
    rarity = Rarity.learn(pairs.texts)
    reader = ProfileReader(static, rarity)
    added = changed_pairs(pairs.texts, min(int(config.variants * len(pairs)), 1500), rng)
    rows = features_of(reader, pairs, encoder, progress)
    more = features_of(reader, added, encoder, progress)
    scores = cross_scores(pairs, rows, added, more, config, rng, progress)
    scorer = fit_scorer(
        np.concatenate([rows, more]),
        np.concatenate([pairs.same, added.same]),
        _weights(len(pairs), len(added), config),
        config,
    )
    return FittedVerifier(Verifier(scorer, rarity, static, encoder.hash), scores)


def features_of(
    reader: ProfileReader,
    pairs: LabelledPairs,
    encoder: Encoder,
    progress: Progress = lambda _what, _done, _total: None,
) -> Features:
    """Return (n, d) features of pairs."""
    if not len(pairs):
        return np.zeros((0, len(FEATURE_NAMES)), dtype=np.float32)
    vectors = encoder.encode(pairs.texts)
    ids = pairs.text_ids
    cosines = np.einsum("ij,ij->i", vectors[ids[:, 0]], vectors[ids[:, 1]])
    parts = []
    for start in range(0, len(pairs), _CHUNK):
        stop = min(start + _CHUNK, len(pairs))
        parts.append(pair_features(reader, pairs.text_a[start:stop], pairs.text_b[start:stop], cosines[start:stop]))
        progress("comparing pairs", stop, len(pairs))
    return np.concatenate(parts)


def cross_scores(
    pairs: LabelledPairs,
    rows: Features,
    added: LabelledPairs,
    more: Features,
    config: TrainingConfig,
    rng: np.random.Generator,
    progress: Progress = lambda _what, _done, _total: None,
) -> Floats:
    """Return (n,) scores of pairs, each by a model fitted on pairs that share no text with its part or parts.

    Texts are drawn into parts, connected ones together. A pair that lies in two parts (only where nearly everything is
    connected) is scored by a model that saw neither part.
    """
    places = {text: i for i, text in enumerate(pairs.texts)}
    of_text = pairs.text_parts(config.folds_of(len(pairs)), rng)
    sides = of_text[pairs.text_ids]
    # A changed text lies where the text lies that it was made from.
    others = np.array([_side(a, b, places, of_text) for a, b in zip(added.text_a, added.text_b, strict=True)]).reshape(
        -1, 2
    )
    out = np.full(len(pairs), np.nan)
    held_out = np.unique(np.sort(sides, axis=1), axis=0)
    for done, parts in enumerate(held_out):
        wanted = (np.sort(sides, axis=1) == parts).all(axis=1)
        known, known_more = ~np.isin(sides, parts).any(axis=1), ~np.isin(others, parts).any(axis=1)
        scorer = fit_scorer(
            np.concatenate([rows[known], more[known_more]]),
            np.concatenate([pairs.same[known], added.same[known_more]]),
            _weights(int(known.sum()), int(known_more.sum()), config),
            config,
        )
        out[wanted] = scorer.score(rows[wanted])
        progress("cross-fitting", done + 1, len(held_out))
    return out


def _side(a: str, b: str, places: Mapping[str, int], of_text: Ints) -> tuple[int, int]:
    known = [int(of_text[places[text]]) for text in (a, b) if text in places]
    return (known[0], known[-1]) if known else (-1, -1)


def _weights(n: int, n_more: int, config: TrainingConfig) -> Floats:
    return np.concatenate([np.ones(n), np.full(n_more, config.variant_weight)])


def fit_scorer(rows: Features, same: NDArray[np.bool_], weights: Floats, config: TrainingConfig) -> Scorer:
    """Return trees and a linear part fitted on (n, d) features.

    Raises
    ------
    MissingExtraError
        If LightGBM or scikit-learn is not installed.
    """
    try:
        import lightgbm
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise MissingExtraError("training a verifier", "train") from error

    settings: dict[str, Any] = {
        "objective": "binary",
        "num_leaves": config.n_leaves,
        "learning_rate": config.learning_rate,
        "min_data_in_leaf": min(config.least_in_leaf, max(len(rows) // 50, 1)),
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "feature_fraction": 0.4,
        "lambda_l2": 5.0,
        "monotone_constraints": [(name in _FOR) - (name in _AGAINST) for name in FEATURE_NAMES],
        "num_threads": 1,
        "seed": config.seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
    booster = lightgbm.train(settings, lightgbm.Dataset(rows, label=same, weight=weights), config.n_trees)
    means, scales = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64) + 1e-3
    standardised = Linear.standardised(rows, means, scales)
    logistic = LogisticRegression(C=_LINEAR_C, max_iter=500).fit(standardised, same, sample_weight=weights)
    linear = Linear(means, scales, logistic.coef_[0].astype(np.float64), float(logistic.intercept_[0]))
    return Scorer(Forest.from_lightgbm([booster.dump_model()]), linear)
