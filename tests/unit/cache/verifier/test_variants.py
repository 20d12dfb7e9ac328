import numpy as np

from beast_ml.cache.verifier import variants
from beast_ml.cache.verifier.variants import changed_pairs

TEXTS = (
    "How do I convert 5 miles to kilometres?",
    "Is it safe to fly from Paris to Rome in May?",
    "What is the difference between Java and Kotlin in 2016?",
    "Which exercises increase strength within 30 minutes?",
    "Do not open the application on Monday, please",
)


def test_both_kinds_are_made_from_the_texts_given():
    pairs = changed_pairs(TEXTS, 60, np.random.default_rng(0))
    assert len(pairs) > 20
    assert set(pairs.text_a) <= set(TEXTS)
    assert 0 < pairs.same.sum() < len(pairs)
    assert all(a != b for a, b in zip(pairs.text_a, pairs.text_b, strict=True))


def test_the_same_seed_makes_the_same_pairs():
    one, other = (changed_pairs(TEXTS, 30, np.random.default_rng(4)) for _ in range(2))
    assert one.text_b == other.text_b


def test_no_texts_make_no_pairs():
    assert len(changed_pairs((), 10, np.random.default_rng(0))) == 0


def rule(name, text, seed=0):
    return getattr(variants, name)(text, np.random.default_rng(seed), ["berlin"])


def test_rules_change_what_they_say():
    assert rule("_swapped", "from Paris to Rome") == "from Rome to Paris"
    assert rule("_negated", "Why is it open?") == "Why is not it open?"
    assert rule("_negated", "Why is it not open?") == "Why is it open?"
    assert rule("_negated", "Is it open?") is None  # "Isn't it open?" asks the same
    assert rule("_turned", "Enable it") == "Disable it"
    assert rule("_other_unit", "wait 30 minutes").startswith("wait 30 ")
    assert rule("_other_name", "is it Rome") == "is it Berlin"
    assert rule("_spoken", "5 miles") == "five miles"
    assert rule("_reworded", "what is it") == "what's it"


def test_rules_leave_texts_alone_that_have_nothing_to_change():
    for name in ("_other_number", "_other_date", "_turned", "_swapped", "_other_name", "_other_unit", "_spoken"):
        assert rule(name, "hmm") is None
