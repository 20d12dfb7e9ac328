import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.cache.verifier.pairs import FEATURE_NAMES, pair_features
from beast_ml.cache.verifier.profile import ProfileReader, Rarity
from beast_ml.features.distill import static_encoder

READER = None


def reader():
    global READER
    READER = READER or ProfileReader(static_encoder(), Rarity.learn(["how do I enable it", "what is it", "how is it"]))
    return READER


def features(a, b, cosine=0.9):
    row = pair_features(reader(), [a], [b], np.array([cosine], dtype=np.float32))[0]
    return dict(zip(FEATURE_NAMES, row.tolist(), strict=True))


def test_there_is_a_name_for_every_feature():
    assert len(features("a", "b")) == len(FEATURE_NAMES) == len(set(FEATURE_NAMES))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80), st.text(max_size=80))
def test_swapping_the_texts_changes_nothing_and_every_feature_is_a_number(a, b):
    one, other = features(a, b), features(b, a)
    assert one == other
    assert np.isfinite(list(one.values())).all()


@pytest.mark.parametrize(
    ("a", "b", "name", "value"),
    [
        ("enable 2FA", "disable 2FA", "antonyms", 1.0),
        ("install it", "uninstall it", "antonyms", 1.0),
        ("it is safe", "it is not safe", "negations_differ", 1.0),
        ("enable it", "do not disable it", "polarity_differs", 0.0),
        ("5 miles in km", "15 miles in km", "numbers_conflict", 1.0),
        ("5 miles in km", "five miles in km", "numbers_conflict", 0.0),
        ("wait 60 minutes", "wait an hour or 1 hour", "quantities_conflict", 0.0),
        ("wait 30 seconds", "wait 30 minutes", "quantities_conflict", 1.0),
        ("open in May or in 2016", "open in June or in 2016", "dates_common", 1 / 3),
        ("is it Rome", "is it Oslo", "names_conflict", 1.0),
        ("is it Rome", "is rome it", "names_alone", 0.0),
        ("from Paris to Rome", "from Rome to Paris", "roles_differ", 2.0),
        ("from Paris to Rome", "to Rome from Paris", "roles_same", 2.0),
        ("call list.append", "call list.extend", "code_conflict", 1.0),
        ("share of terrorists who are muslim", "share of muslims who are terrorists", "same_stems_turned", 1.0),
        ("why is it", "how is it", "question_conflict", 1.0),
        ("how is it", "how is it", "equal_words", 1.0),
    ],
)
def test_what_makes_a_difference_is_seen(a, b, name, value):
    assert features(a, b)[name] == pytest.approx(value)


def test_a_synonym_leaves_less_without_a_counterpart_than_another_subject():
    near = features("repair my car", "repair my automobile")
    far = features("repair my car", "repair my violin")
    assert near["lost_high"] < far["lost_high"]
    assert near["rest_near"] > far["rest_near"]


def test_features_are_the_same_in_every_process():
    code = (
        "import numpy as np\n"
        "from beast_ml.cache.verifier.pairs import pair_features\n"
        "from beast_ml.cache.verifier.profile import ProfileReader, Rarity\n"
        "from beast_ml.features.distill import static_encoder\n"
        "cities = ['Rome', 'Oslo', 'Lima', 'Kyoto', 'Quito', 'Dakar', 'Perth', 'Turin']\n"
        "a = [f'trains from {city} to {city}' for city in cities]\n"  # a word with two roles
        "b = [f'trains to {city}' for city in cities]\n"
        "reader = ProfileReader(static_encoder(), Rarity.learn(a))\n"
        "print(pair_features(reader, a, b, np.zeros(8)).tobytes().hex())\n"
    )
    one, other = (
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    )
    assert one == other
