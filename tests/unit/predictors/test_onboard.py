from dataclasses import replace

import numpy as np
import pytest

from beast_ml.domain import Price
from beast_ml.errors import InputError
from beast_ml.predictors.cost import TokenCostPredictor
from beast_ml.predictors.heads import sigmoid
from beast_ml.predictors.new_model import calibrated_logits
from beast_ml.predictors.onboard import NewCandidate, ProbeAnswers, add_to_pool

PRICE = Price(1.0, 3.0)


@pytest.fixture
def rows(fitted, world):
    return fitted.rows(world.outcomes.prompts)


@pytest.fixture
def pool(fitted):
    return fitted.pool.predictors


def answers(rows, quality, **measured):
    unknown = np.full(len(rows), np.nan)
    names = ("input_tokens", "output_tokens", "cost_usd", "latency_s", "ttft_s")
    return ProbeAnswers(rows, quality, **{name: measured.get(name, unknown) for name in names})


def test_nothing_that_was_known_changes_by_a_bit(pool, rows):
    more, _ = add_to_pool(pool, NewCandidate("middle", 0.6, price=PRICE), rows)
    at = more.models.index("middle")
    assert more.models == ("large", "medium", "middle", "small")
    pairs = [(pool.quality.head, more.quality.head), (pool.latency.head, more.latency.head)]
    pairs += [(pool.cost.output_tokens.head, more.cost.output_tokens.head)]
    pairs += [(pool.latency.scale_head, more.latency.scale_head), (pool.reliability.head, more.reliability.head)]
    for old, new in pairs:
        for a, b in zip(old.weights[:-1], new.weights[:-1], strict=True):
            assert a is b
        assert np.array_equal(np.delete(new.weights[-1], at, axis=1), old.weights[-1])
        assert np.array_equal(np.delete(new.biases[-1], at), old.biases[-1])
    for name, values in vars(pool.predict(rows)).items():
        if values is not None:
            assert np.allclose(np.delete(getattr(more.predict(rows), name), at, axis=1), values, rtol=1e-5), name


def test_the_folded_head_says_what_the_combination_says(pool, rows):
    more, learnt = add_to_pool(pool, NewCandidate("middle", 0.6, price=PRICE), rows)
    expected = sigmoid(learnt.logits(calibrated_logits(pool.quality, rows)))
    assert np.allclose(more.quality.predict(rows)[:, 2], np.clip(expected, 0.005, 0.995), atol=1e-5)
    assert more.quality.predict(rows)[:, 2].mean() == pytest.approx(0.6, abs=0.01)


def test_interpolated_calibration_curves_leave_the_new_model_as_it_is(pool, rows):
    m = len(pool.models)
    at = np.linspace(-1, 1, 33)
    calibrated = replace(pool.quality.calibrated, kind="isotonic", knots=np.tile((at + 1) / 2, (m, 1)))
    curved = replace(pool, quality=replace(pool.quality, calibrated=calibrated))
    more, learnt = add_to_pool(curved, NewCandidate("middle", 0.6, price=PRICE), rows)
    expected = sigmoid(learnt.logits(calibrated_logits(pool.quality, rows)))
    assert np.allclose(more.quality.predict(rows)[:, 2], np.clip(expected, 0.005, 0.995), atol=0.01)


def test_the_interval_is_wide_before_probes_and_narrow_after(pool, rows, world):
    new = NewCandidate("middle", 0.6, is_stated=False, price=PRICE)
    before, _ = add_to_pool(pool, new, rows)
    after, _ = add_to_pool(pool, new, rows, answers(rows, world.outcomes.quality[:, 1]))

    def width(more):
        low, high = more.quality.interval(rows)
        return (high - low)[:, 2].mean()

    assert width(before) > 1.5 * width(after)
    assert width(before) > (pool.quality.interval(rows)[1] - pool.quality.interval(rows)[0]).mean()


def test_probes_with_tokens_teach_how_wordy_the_new_model_is(pool, rows, world):
    new = NewCandidate("middle", 0.6, price=PRICE)
    wordy = 4.0 * world.outcomes.output_tokens[:, 1]
    taught = answers(rows[:60], world.outcomes.quality[:60, 1], output_tokens=wordy[:60])
    blind, seeing = add_to_pool(pool, new, rows)[0].cost, add_to_pool(pool, new, rows, taught)[0].cost
    assert isinstance(blind, TokenCostPredictor)
    assert isinstance(seeing, TokenCostPredictor)
    truth = wordy[60:].mean()
    assert blind.output_tokens.predict(rows[60:])[:, 2].mean() < 0.5 * truth
    assert seeing.output_tokens.predict(rows[60:])[:, 2].mean() == pytest.approx(truth, rel=0.2)
    low, high = seeing.output_tokens.interval(rows[60:])
    assert np.mean((low[:, 2] <= wordy[60:]) & (wordy[60:] <= high[:, 2])) > 0.8
    low, high = blind.output_tokens.interval(rows[60:])
    old = pool.cost.output_tokens.interval(rows[60:])
    widths = [np.median(np.log((b + 10) / (a + 10))) for a, b in ((low[:, 2], high[:, 2]), old)]
    assert widths[0] > widths[1]


def test_costs_learnt_in_dollars_take_the_ratio_of_prices(pool, rows):
    in_dollars = replace(pool, cost=pool.latency)
    more, _ = add_to_pool(in_dollars, NewCandidate("middle", 0.6, log_cost_ratio=float(np.log(3.0))), rows)
    same, _ = add_to_pool(in_dollars, NewCandidate("middle", 0.6, log_cost_ratio=0.0), rows)
    assert np.allclose(more.cost.predict(rows)[:, 2], 3.0 * same.cost.predict(rows)[:, 2], rtol=1e-5)


def test_a_model_of_unknown_cost_or_of_a_taken_name_is_refused(pool, rows):
    with pytest.raises(InputError, match="no price"):
        add_to_pool(pool, NewCandidate("middle", 0.6), rows)
    with pytest.raises(InputError, match="dollars"):
        add_to_pool(replace(pool, cost=pool.latency), NewCandidate("middle", 0.6), rows)
    with pytest.raises(InputError, match="already"):
        add_to_pool(pool, NewCandidate("small", 0.6, price=PRICE), rows)
