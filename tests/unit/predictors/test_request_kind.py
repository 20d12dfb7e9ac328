import numpy as np
import pytest

from beast_ml.features.kinds import KIND_TABLE
from beast_ml.predictors.request_kind import RequestKindPredictor, claimed_kinds, fit_request_kind
from beast_ml.testing.worlds import make_world


@pytest.fixture(scope="module")
def data(world, training_set):
    return training_set(world)


@pytest.fixture(scope="module")
def kinds(data):
    return KIND_TABLE.labels(data.outcomes.tasks)


@pytest.fixture(scope="module")
def learnt(data, kinds):
    return fit_request_kind(data.rows, kinds, data.folds, np.random.default_rng(0))


def test_kinds_that_words_tell_are_learnt(learnt, kinds):
    predictor = learnt.predictor
    assert predictor.kinds == ("code", "conversation", "maths", "translation")
    guessed = np.array(predictor.kinds)[learnt.out_of_fold.argmax(axis=1)]
    assert (guessed == kinds).mean() > 0.9
    assert learnt.report["macro_f1_out_of_fold"] > 0.9


def test_probabilities_are_calibrated_where_labels_are_partly_luck(training_set):
    rng = np.random.default_rng(1)
    data = training_set(make_world(rng, 1000))
    kinds = KIND_TABLE.labels(data.outcomes.tasks)
    noisy = np.where(rng.random(len(kinds)) < 0.4, rng.permutation(kinds), kinds)
    fitted = fit_request_kind(data.rows, noisy, data.folds, np.random.default_rng(0))
    names = np.array(fitted.predictor.kinds)
    confidence = fitted.out_of_fold.max(axis=1).mean()
    accuracy = (names[fitted.out_of_fold.argmax(axis=1)] == noisy).mean()
    assert confidence == pytest.approx(accuracy, abs=0.05)
    assert fitted.report["ece_out_of_fold"] < 0.15
    np.testing.assert_allclose(fitted.out_of_fold.sum(axis=1), 1.0)


def test_a_kind_with_too_few_labels_is_not_claimed(data, kinds):
    rare = np.flatnonzero(kinds == "maths")[29:]
    few = kinds.copy()
    few[rare] = ""
    fitted = fit_request_kind(data.rows, few, data.folds, np.random.default_rng(0), families=("linear",))
    assert "maths" not in fitted.predictor.kinds
    assert fitted.out_of_fold.shape == (len(kinds), 3)
    assert fitted.report["labelled_queries"] == (np.isin(kinds, fitted.predictor.kinds)).sum()
    assert claimed_kinds(few) == fitted.predictor.kinds


@pytest.mark.parametrize("keep", [[], ["code"]])
def test_fewer_than_two_kinds_are_not_learnt(data, kinds, keep):
    assert (
        fit_request_kind(data.rows, np.where(np.isin(kinds, keep), kinds, ""), data.folds, np.random.default_rng(0))
        is None
    )


def test_out_of_fold_a_query_is_judged_without_its_own_label(data, kinds):
    """Labels drawn by lot can be learnt by heart, but not be told of queries that were not seen."""
    lot = np.random.default_rng(2).permutation(kinds)
    fitted = fit_request_kind(data.rows, lot, data.folds, np.random.default_rng(0))
    assert fitted.report["accuracy_out_of_fold"] < 0.4


def test_a_common_kind_that_was_sampled_keeps_its_share(data, kinds):
    blind = np.zeros_like(data.rows)
    labels = np.where(kinds == "maths", "maths", "code")
    fitted = fit_request_kind(
        blind, labels, data.folds, np.random.default_rng(0), families=("linear",), max_per_kind=30
    )
    share = fitted.predictor.posterior(blind[:1])[0, fitted.predictor.kinds.index("maths")]
    assert share == pytest.approx((labels == "maths").mean(), abs=0.08)


def test_it_is_restored_to_the_bit(learnt, data):
    predictor = learnt.predictor
    again = RequestKindPredictor.restore(predictor.arrays(), predictor.calibration())
    assert again.posterior(data.rows).tobytes() == predictor.posterior(data.rows).tobytes()
    assert again.names(data.rows) == predictor.names(data.rows)


def test_the_most_probable_kind_is_named(learnt, data):
    predictor = learnt.predictor
    expected = [predictor.kinds[j] for j in predictor.posterior(data.rows).argmax(axis=1)]
    assert predictor.names(data.rows) == expected


def test_a_new_request_of_a_known_kind_is_told(learnt, training_set):
    new = training_set(make_world(np.random.default_rng(99), 60, prefix="z"))
    right = np.array(learnt.predictor.names(new.rows)) == KIND_TABLE.labels(new.outcomes.tasks)
    assert right.mean() > 0.9
