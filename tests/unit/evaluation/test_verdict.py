import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.evaluation.bootstrap import Estimate
from beast_ml.evaluation.verdict import no_verdict, reach_verdict
from beast_ml.policy.operating_point import OperatingPoint

ROUTES = OperatingPoint("router", "large", 0.02, n_queries=100, quality=0.8, cost=1.0, quality_gain=0.0)
SINGLE = OperatingPoint("single", "large")


def around(value, margin=0.005):
    return Estimate(value, value - margin, value + margin)


@pytest.mark.parametrize(
    ("gain", "saving", "pays"),
    [
        (around(0.0), around(0.3), True),
        (around(0.02), around(-0.3), True),  # significantly better, whatever it costs
        (around(-0.004), around(0.3), True),  # the worst of the interval is above -0.01
        (around(-0.006), around(0.3), False),
        (around(0.0), around(0.003), False),  # may save nothing
        (around(0.0), around(-0.3), False),
        (around(0.004), around(0.0), False),
        (around(0.02), Estimate(None), True),
        (around(0.0), Estimate(None), False),
        (Estimate(0.5), around(0.3), False),  # no interval, no evidence
    ],
)
def test_routing_pays_when_as_good_and_cheaper_or_better(gain, saving, pays):
    verdict = reach_verdict(ROUTES, gain, saving, 500)
    assert verdict.pays is pays
    assert verdict.sentence.startswith("Routing pays here" if pays else "Use 'large': routing does not pay here")


def test_one_model_for_everything_is_no_routing():
    verdict = reach_verdict(SINGLE, Estimate(0.0, 0.0, 0.0), Estimate(0.0, 0.0, 0.0), 500)
    assert not verdict.pays
    assert verdict.sentence.startswith("Use 'large': routing does not pay here. On the training data")


def test_the_sentence_says_by_how_much_and_how_sure_that_is():
    sentence = reach_verdict(ROUTES, Estimate(0.012, 0.004, 0.02), Estimate(0.318, 0.29, 0.35), 1234).sentence
    assert sentence == (
        "Routing pays here: quality +1.20 points [+0.40, +2.00] and cost -31.8% [-35.0, -29.0] "
        "against 'large' on 1234 queries."
    )


def test_no_zero_is_negative():
    sentence = reach_verdict(ROUTES, Estimate(-1e-9, -0.0, 0.0), Estimate(0.0, 0.0, 0.0), 10).sentence
    assert "quality +0.00 points [+0.00, +0.00] and cost +0.0% [+0.0, +0.0]" in sentence


def test_without_scores_there_is_no_answer():
    verdict = no_verdict(ROUTES, "no labels").to_dict()
    assert verdict["pays"] is None
    assert verdict["sentence"] == "nothing could be scored: no labels"
    assert verdict["quality_gain"] == verdict["saving"] == [None, None, None]


@pytest.mark.parametrize(
    ("gain", "saving", "says"),
    [
        (around(-0.05), around(0.3), "a loss of quality cannot be ruled out"),
        (around(0.0), around(0.0), "nothing is saved for certain"),
        (around(0.0), Estimate(None), "cost not measured"),
        (Estimate(None), around(0.1), "quality not defined"),
        (Estimate(0.01), Estimate(0.1), "quality +1.00 points and cost -10.0% against"),
    ],
)
def test_the_sentence_says_what_is_missing(gain, saving, says):
    assert says in reach_verdict(ROUTES, gain, saving, 10).sentence


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0, 0.5), st.floats(0, 0.5))
def test_more_gain_or_more_saving_never_turns_a_yes_into_a_no(gain, saving, more_gain, more_saving):
    before = reach_verdict(ROUTES, around(gain), around(saving), 10).pays
    after = reach_verdict(ROUTES, around(gain + more_gain), around(saving + more_saving), 10).pays
    assert after or not before


def test_the_verdict_is_plain_json():
    report = reach_verdict(ROUTES, around(0.0), around(0.3), 10).to_dict()
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["quality_gain"] == [0.0, -0.005, 0.005]
    assert report["operating_point"]["willingness_to_pay"] == 0.02
    assert report["reference_model"] == "large"
