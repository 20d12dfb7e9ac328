from dataclasses import replace

import numpy as np
import pytest

from beast_ml.domain import Price
from beast_ml.testing.outcome_sets import random_outcomes


@pytest.fixture
def outcomes():
    shape = (40, 2)
    return random_outcomes(
        np.random.default_rng(0), 40, 2, missing=0.0,
        cost_usd=np.full(shape, np.nan), input_tokens=np.full(shape, 1000.0), output_tokens=np.full(shape, 100.0),
        latency_s=np.full(shape, 2.0), tasks=np.array(["", "code"] * 20), apps=np.array(["editor", ""] * 20),
    )  # fmt: skip


def test_contexts_are_what_is_known_of_the_keys_asked_for(outcomes):
    assert outcomes.contexts(("task", "app"))[:2] == [{"app": "editor"}, {"task": "code"}]
    assert outcomes.contexts(("task",))[:2] == [{}, {"task": "code"}]
    assert outcomes.contexts(())[:2] == [{}, {}]
    assert outcomes.rows(np.array([1])).contexts(("task", "app")) == [{"task": "code"}]


def test_the_app_is_part_of_the_digest(outcomes):
    assert replace(outcomes, apps=outcomes.tasks).digest() != outcomes.digest()


def test_what_nobody_billed_costs_what_the_price_says(outcomes):
    by_token = outcomes.priced({"m0": Price(1.0, 2.0, usd_per_request=0.5), "stranger": Price(1.0, 1.0)})
    np.testing.assert_allclose(by_token.cost_usd[:, 0], 0.5012)
    assert np.isnan(by_token.cost_usd[:, 1]).all()
    by_hour = replace(outcomes, input_tokens=outcomes.cost_usd).priced({"m0": Price.of_machine(3.6, concurrency=1)})
    np.testing.assert_allclose(by_hour.cost_usd[:, 0], 0.002)


def test_recorded_costs_stay_and_zeros_are_no_bill(outcomes):
    billed = outcomes.cost_usd.copy()
    billed[0, 0], billed[:, 1] = 3.0, 0.0
    priced = replace(outcomes, cost_usd=billed).priced({"m0": Price(1.0, 1.0), "m1": Price(1.0, 1.0)})
    assert priced.cost_usd[0, 0] == 3.0
    assert np.isnan(priced.cost_usd[1:, 0]).all()
    np.testing.assert_allclose(priced.cost_usd[:, 1], 0.0011)


def test_where_the_model_was_not_called_nothing_is_owed_and_an_answer_without_a_label_is(outcomes):
    gone = {}
    for name in ("quality", "input_tokens", "output_tokens", "latency_s"):
        gone[name] = getattr(outcomes, name).copy()
        gone[name][0, 0] = np.nan
    price = {"m0": Price(1.0, 1.0, usd_per_request=0.5)}
    unlabelled = replace(outcomes, quality=gone["quality"]).priced(price)
    np.testing.assert_array_equal(unlabelled.cost_usd, outcomes.priced(price).cost_usd)
    assert np.isnan(replace(outcomes, **gone).priced(price).cost_usd[0, 0])
