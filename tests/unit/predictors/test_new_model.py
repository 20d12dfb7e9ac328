import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.errors import InputError
from beast_ml.predictors.heads import sigmoid
from beast_ml.predictors.new_model import PopulationPrior


def made_up(rng, n, m=6):
    """Logits of m candidates, and of one more of the same population."""
    hard, skills = rng.standard_normal((n, 1)), rng.standard_normal((n, 2))
    loadings = rng.standard_normal((2, m + 1))
    logits = 1.0 + hard + skills @ loadings + 0.5 * rng.standard_normal(m + 1)
    return logits[:, :m], logits[:, m]


@given(st.floats(0.05, 0.95), st.integers(0, 100))
def test_the_prior_alone_predicts_the_expected_quality(expected, seed):
    known, _ = made_up(np.random.default_rng(seed), 200)
    learnt = PopulationPrior(known, expected).update()
    assert sigmoid(learnt.logits(known)).mean() == pytest.approx(expected, abs=1e-6)
    assert learnt.low < learnt.mean_quality < learnt.high
    assert np.allclose(learnt.weights, 1 / 6)


def test_probes_bring_the_prediction_to_the_truth_and_narrow_the_interval():
    errors, widths = {0: [], 30: [], 1000: []}, {0: [], 30: [], 1000: []}
    for seed in range(8):
        rng = np.random.default_rng(seed)
        known, new = made_up(rng, 3000)
        truth = sigmoid(new)
        answers = (rng.random(3000) < truth).astype(float)
        prior = PopulationPrior(known, 0.5)
        for n in errors:
            learnt = prior.update(known[:n], answers[:n])
            errors[n].append(((sigmoid(learnt.logits(known)) - truth) ** 2).mean())
            widths[n].append(learnt.high - learnt.low)
    assert np.mean(errors[1000]) < np.mean(errors[30]) < np.mean(errors[0])
    assert np.mean(errors[1000]) < 0.1 * np.mean(errors[0])
    assert max(widths[1000]) < min(widths[30])


def test_the_interval_of_the_mean_quality_holds_it_as_often_as_it_says():
    held = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        known, new = made_up(rng, 600)
        truth = sigmoid(new)
        asked = rng.permutation(600)[:40]
        expected = float(np.clip(sigmoid(new + 0.4 * rng.standard_normal()).mean(), 0.02, 0.98))
        learnt = PopulationPrior(known, expected).update(known[asked], (rng.random(40) < truth[asked]).astype(float))
        held.append(learnt.low <= truth.mean() <= learnt.high)
    assert np.mean(held) == pytest.approx(0.9, abs=0.08)


def test_fractional_outcomes_count_as_shares():
    known, _ = made_up(np.random.default_rng(0), 300)
    prior = PopulationPrior(known, 0.5)
    whole = prior.update(np.repeat(known[:20], 2, axis=0), np.tile([0.0, 1.0], 20))
    halves = prior.update(np.repeat(known[:20], 2, axis=0), np.full(40, 0.5))
    assert np.allclose(whole.weights, halves.weights)


def test_two_candidates_are_enough_and_equal_ones_do_not_break_it():
    known = np.repeat(np.linspace(-1, 1, 50)[:, None], 2, axis=1)
    learnt = PopulationPrior(known, 0.7).update(known[:10], np.ones(10))
    assert np.isfinite(learnt.weights).all()
    assert learnt.mean_quality > 0.7


@pytest.mark.parametrize("quality", [-0.1, 1.1, np.nan])
def test_a_quality_outside_0_to_1_is_refused(quality):
    known, _ = made_up(np.random.default_rng(0), 20)
    with pytest.raises(InputError, match=r"0\.\.1"):
        PopulationPrior(known, 0.5).update(known[:1], np.array([quality]))


def test_without_reference_prompts_there_is_no_prior():
    with pytest.raises(InputError, match="prompts"):
        PopulationPrior(np.empty((0, 3)), 0.5)
