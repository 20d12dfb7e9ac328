import numpy as np
import pytest

from beast_ml.evaluation.off_policy.estimators import TargetRounds, estimate_rounds
from beast_ml.evaluation.off_policy.labels import LEAST_LABEL_PROBABILITY, label_model, prediction_powered
from beast_ml.evaluation.off_policy.rounds import LoggedRounds

N = 3000


def world(seed, n=N):
    """Return columns, the model that answered, and a quality that goes by both."""
    rng = np.random.default_rng(seed)
    columns, chosen = rng.standard_normal((n, 2)), rng.integers(2, size=n)
    hope = 1 / (1 + np.exp(-1.5 * columns[:, 0] - chosen))
    return rng, columns, chosen, hope, (rng.random(n) < hope).astype(float)


def rounds_of(chosen, reward, of_chosen):
    predicted = np.tile(of_chosen[:, None], (1, 2))
    return LoggedRounds(chosen, np.full(len(chosen), 0.5), reward, predicted, np.arange(len(chosen)))


def test_labels_that_all_are_there_need_no_model():
    _, columns, chosen, _, reward = world(0)
    found = label_model(np.isfinite(reward), columns, chosen, None, np.arange(N) % 5, np.random.default_rng(0))
    assert not found.depends
    assert (found.probability == 1).all()


def test_labels_at_random_have_one_probability():
    rng, columns, chosen, _, _ = world(1)
    observed = rng.random(N) < 0.3
    found = label_model(observed, columns, chosen, None, np.arange(N) % 5, rng)
    assert not found.depends
    np.testing.assert_allclose(found.probability, observed.mean())


def test_labels_that_go_by_the_request_are_found_out():
    rng, columns, chosen, _, _ = world(2)
    truth = 1 / (1 + np.exp(-1.5 * columns[:, 0]))
    found = label_model(rng.random(N) < truth, columns, chosen, None, np.arange(N) % 5, rng)
    assert found.depends
    assert np.abs(found.probability - truth).mean() < 0.05


def test_labels_that_are_still_to_come_are_told_by_the_age_of_the_request():
    rng, columns, chosen, _, _ = world(3)
    received = np.sort(rng.random(N))
    truth = np.where(received > 0.75, 0.05, 0.9)
    found = label_model(rng.random(N) < truth, columns, chosen, received, np.arange(N) % 5, rng)
    assert found.depends
    assert found.probability[received > 0.8].mean() < 0.15
    assert found.probability[received < 0.7].mean() > 0.8
    assert found.probability.min() >= LEAST_LABEL_PROBABILITY


def test_weighting_by_labels_mends_what_goes_by_the_request():
    """Answers to easy requests are labelled most: their plain mean is too good."""
    errors, naive = [], []
    for seed in range(6):
        rng, columns, chosen, hope, reward = world(seed)
        observed = rng.random(N) < 1 / (1 + np.exp(-1.5 * columns[:, 0]))
        labels = label_model(observed, columns, chosen, None, np.arange(N) % 5, rng)
        log = rounds_of(chosen, np.where(observed, reward, np.nan), np.full(N, 0.6))
        target = np.full((N, 2), 0.5)
        found = estimate_rounds(TargetRounds.of(log, target, labels.probability), 1.0)
        errors.append(found["dr"].value - hope.mean())
        naive.append(reward[observed].mean() - hope.mean())
    assert abs(np.mean(errors)) < 0.02
    assert np.mean(naive) > 0.08


@pytest.mark.parametrize("good", [True, False])
def test_predictions_save_labels_when_they_are_good_and_do_no_harm_when_not(good):
    errors, of_labels, saved, trust = [], [], [], []
    for seed in range(150):
        rng, _, chosen, hope, reward = world(seed, 800)
        observed = rng.random(800) < 0.2
        predicted = hope if good else rng.random(800)
        log = rounds_of(chosen, np.where(observed, reward, np.nan), predicted)
        found = prediction_powered(TargetRounds.of(log, np.full((800, 2), 0.5)))
        errors.append(found.per_round.value)
        of_labels.append(reward[observed].mean())
        saved.append(found.labels_saved)
        trust.append(found.trust)
    spread = np.var(errors) / np.var(of_labels)
    bias = np.mean(errors) - np.mean(of_labels)
    assert abs(bias) < 4 * np.std(np.array(errors) - of_labels) / 150**0.5
    if good:
        assert spread < 0.85
        assert 0.1 < np.mean(saved) < 0.4
        assert np.mean(trust) > 0.6
    else:
        assert 0.9 < spread < 1.1
        assert np.mean(saved) < 0.02
        assert np.mean(trust) < 0.2
