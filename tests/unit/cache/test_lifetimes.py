import msgspec
import numpy as np
import pytest

from beast_ml.cache.lifetimes import PRIOR_MEAN_LIFE_S, AnswerAge, Lifetimes, fit_lifetimes
from beast_ml.errors import InputError
from beast_ml.features.kinds import KINDS

HOUR_S, DAY_S = 3_600.0, 86_400.0


def looked_at(kind, life_s, n, rng, dispersion=0.0):
    ages = rng.exponential(life_s, n)
    rates = rng.gamma(1 / dispersion, dispersion, n) if dispersion else np.ones(n)
    return [
        AnswerAge(kind, age, bool(rng.random() < np.exp(-rate * age / life_s)))
        for age, rate in zip(ages, rates, strict=True)
    ]


def test_every_kind_has_a_guess():
    assert set(PRIOR_MEAN_LIFE_S) == {kind.name for kind in KINDS}


def test_without_data_the_guesses_order_the_lives():
    lives = fit_lifetimes([])
    assert lives.ttl_s("function_calling") < lives.ttl_s("business") < lives.ttl_s("general_knowledge")
    assert lives.ttl_s("general_knowledge") < lives.ttl_s("code") < lives.ttl_s("maths") <= lives.max_s
    assert lives.ttl_s(None) == lives.ttl_s("never heard of") == lives.other_s < 1 * DAY_S


@pytest.mark.parametrize("dispersion", [0.0, 1.0])
def test_with_data_an_answer_is_stale_with_the_set_probability_when_it_expires(dispersion):
    rng = np.random.default_rng(1)
    seen = looked_at("business", 6 * HOUR_S, 4_000, rng, dispersion)
    for share in (0.02, 0.2):
        ttl_s = fit_lifetimes(seen, share).ttl_s("business")
        x = ttl_s / (6 * HOUR_S)
        stale = 1 - (np.exp(-x) if not dispersion else 1 / (1 + x))
        assert stale == pytest.approx(share, rel=0.15)


def test_a_kind_without_data_borrows_from_the_others():
    rng = np.random.default_rng(2)
    faster = [
        each
        for kind in ("business", "law", "medicine", "code", "science")
        for each in looked_at(kind, PRIOR_MEAN_LIFE_S[kind] / 20, 200, rng)
    ]
    assert fit_lifetimes(faster).ttl_s("general_knowledge") < 0.5 * fit_lifetimes([]).ttl_s("general_knowledge")


def test_a_kind_with_data_does_not_care():
    rng = np.random.default_rng(3)
    own = looked_at("general_knowledge", 60 * DAY_S, 3_000, rng)
    others = [each for kind in ("law", "code") for each in looked_at(kind, PRIOR_MEAN_LIFE_S[kind] / 50, 200, rng)]
    alone, among = (fit_lifetimes(seen).ttl_s("general_knowledge") for seen in (own, own + others))
    assert among == pytest.approx(alone, rel=0.1)


def test_nothing_prolongs_a_life():
    lives = fit_lifetimes([])
    assert lives.expires_at(100.0, "law") == 100.0 + lives.ttl_s("law")
    assert "accessed" not in Lifetimes.__struct_fields__


def test_refusals_and_errors_are_kept_for_a_short_while():
    lives = fit_lifetimes([])
    assert lives.ttl_s("maths", "error") < lives.ttl_s("maths", "refusal") < 10 * 60 < lives.ttl_s("maths")


def test_what_changes_at_once_is_not_kept():
    seen = [AnswerAge("function_calling", age, False) for age in (0.5, 1.0, 2.0, 5.0)] * 50
    assert fit_lifetimes(seen).ttl_s("function_calling") == 0.0


def test_survives_a_file():
    lives = fit_lifetimes([AnswerAge("law", DAY_S, True)])
    assert msgspec.json.decode(msgspec.json.encode(lives), type=Lifetimes) == lives


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 0.0), "between 0 and 1"),
        (([AnswerAge("law", -1.0, True)],), "seconds from 0"),
        (([AnswerAge("law", float("nan"), True)],), "seconds from 0"),
        (([], 0.05, {"law": 0.0}), "positive"),
    ],
)
def test_says_what_is_wrong(arguments, message):
    with pytest.raises(InputError, match=message):
        fit_lifetimes(*arguments)
