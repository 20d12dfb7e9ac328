import numpy as np
import pytest

from beast_ml.cache.replay.recognition import learn_recognition
from beast_ml.cache.verifier.labelled import LabelledPairs
from beast_ml.cache.verifier.text_vectors import StoredVectors
from beast_ml.features.hashing import HashingEncoder

THINGS = ("invoice", "password", "passport", "laptop", "contract", "ticket", "payment", "licence", "parcel", "visa")


@pytest.mark.slow
def test_threshold_and_gate_are_chosen_on_pairs_that_the_verifier_has_not_seen(distilled):
    rng = np.random.default_rng(0)
    a, b, same = [], [], []
    for i in range(1_200):
        thing, other = rng.choice(THINGS, 2, replace=False)
        equal = bool(rng.random() < 0.6)
        a.append(f"how do I renew the {thing} number {i}")
        b.append(f"how do I renew the {thing if equal else other} number {i} now")
        same.append(equal)
    pairs = LabelledPairs(tuple(a), tuple(b), np.array(same))
    learnt = learn_recognition(pairs, StoredVectors(HashingEncoder(64)), distilled, epsilon=0.05)
    assert 400 < learnt.threshold.n_lookups < 800  # about one half: the other one is learnt from
    assert learnt.threshold.n_hits > 50
    assert learnt.threshold.n_wrong <= 0.05 * learnt.threshold.n_lookups
    recognition = learnt.recognition
    assert recognition.gate == learnt.bound.similarity
    right, wrong = recognition.scores.of(
        "how do I renew the visa number 5000",
        ["how do I renew the visa number 5000 now", "how do I renew the laptop number 17 now"],
    )
    assert right > wrong
