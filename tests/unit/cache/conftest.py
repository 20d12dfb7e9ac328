"""Labelled pairs about a small world, and vectors that take no time."""

import numpy as np
import pytest

from beast_ml.cache.verifier.labelled import LabelledPairs
from beast_ml.cache.verifier.trained import TrainedVerifier
from beast_ml.cache.verifier.training import TrainingConfig, fit_verifier
from beast_ml.features.hashing import HashingEncoder

CITIES = tuple(
    "Paris Rome Oslo Cairo Lima Quito Hanoi Accra Delhi Kyoto Perth Sofia Minsk Tunis Doha Baku".split()  # noqa: SIM905 - read as text
)
THINGS = tuple(
    "museums hotels trains beaches schools parks bridges markets festivals airports rivers churches".split()  # noqa: SIM905 - read as text
)
ASKED = ("What are the best {} in {}?", "Best {} in {}", "Which {} in {} are the best?", "top {} {} please")


def make_pairs(seed: int, n: int) -> LabelledPairs:
    rng = np.random.default_rng(seed)
    a, b, same = [], [], []
    for _ in range(n):
        city, thing = CITIES[rng.integers(16)], THINGS[rng.integers(12)]
        first, second = rng.permutation(4)[:2]
        equal = bool(rng.random() < 0.4)
        other = city if equal else CITIES[rng.integers(16)]
        number = int(rng.integers(10_000))  # no two pairs share a text
        a.append(f"{ASKED[first].format(thing, city)} #{number}")
        b.append(f"{ASKED[second].format(thing, other)} #{number}")
        same.append(other == city)
    return LabelledPairs(tuple(a), tuple(b), np.array(same))


@pytest.fixture
def rng():
    return np.random.default_rng(20)


@pytest.fixture(scope="session")
def pairs_of():
    """Return the function (seed, n) -> labelled pairs."""
    return make_pairs


@pytest.fixture(scope="session")
def training_pairs():
    return make_pairs(0, 400)


@pytest.fixture(scope="session")
def hashed():
    return HashingEncoder(64)


@pytest.fixture(scope="session")
def fitted_verifier(training_pairs, hashed, distilled):
    return fit_verifier(training_pairs, hashed, distilled, TrainingConfig(n_trees=60, n_folds=3, variants=0.1))


@pytest.fixture(scope="session")
def trained_verifier(fitted_verifier, training_pairs):
    return TrainedVerifier(
        fitted_verifier.verifier, fitted_verifier.scores, training_pairs.same, training_pairs.text_ids
    )
