import numpy as np

from beast_ml.benchmarks.cache.unrelated_pairs import unrelated_pairs
from beast_ml.cache.verifier.labelled import LabelledPairs


def test_pairs_connected_to_an_asked_text_are_left_out():
    pairs = LabelledPairs(
        ("What is an atom?", "What is matter?", "Who was Bohr?", "Who was Curie?"),
        ("What is matter?", "What is dark energy?", "Who was Niels Bohr?", "Who is Curie?"),
        np.array([True, False, True, True]),
    )
    free = unrelated_pairs(pairs, ["  please WHAT IS AN ATOM? "], most=10)
    assert free.text_a == ("Who was Bohr?", "Who was Curie?")
    assert len(unrelated_pairs(pairs, [], most=2)) <= 2
    assert len(unrelated_pairs(pairs, [], most=10)) == 4
