from dataclasses import dataclass, replace

import numpy as np
import pytest

from beast_ml.benchmarks.cross_validation import CrossValidation, cross_validate, run_fold
from beast_ml.benchmarks.folds import split
from beast_ml.benchmarks.peers.embedded import EmbeddedRouter
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.policy.utility import Predictions
from beast_ml.testing.worlds import thin_out


def results(outcomes, learner, encoder, folder, peers=None, protocol=None):
    protocol = protocol or CrossValidation(3, 2)
    return list(cross_validate(outcomes, "cost_usd", protocol, learner, encoder, peers or {}, folder))


def test_all_routers_decide_every_query_once_a_seed(outcomes, counting, encoder, tmp_path):
    learner = counting()
    seeds = results(outcomes, learner, encoder, tmp_path, {"rival": counting()})
    assert learner.fits == [0, 0, 0, 1, 1, 1]
    for seed in seeds:
        names = [router.name for router in seed.routers]
        assert names == ["beast", "knn", "best_per_task", "best_per_true_task", "rival"]
        assert all(router.predictions.quality.shape == outcomes.quality.shape for router in seed.routers)
        assert all(len(chosen) == outcomes.n_queries for router in seed.routers for chosen in router.operating.values())
        assert outcomes.models[seed.reference] == "large"
    assert not np.array_equal(*(seed.routers[0].predictions.quality for seed in seeds))


def test_a_later_run_fits_only_what_is_missing(outcomes, counting, encoder, tmp_path):
    first = results(outcomes, counting(), encoder, tmp_path)
    one = next(tmp_path.glob("question-1-2-beast-*"))
    one.unlink()
    learner = counting()
    again = results(outcomes, learner, encoder, tmp_path)
    assert learner.fits == [1]
    for before, after in zip(first, again, strict=True):
        np.testing.assert_array_equal(before.routers[0].operating["100"], after.routers[0].operating["100"])


def test_an_interrupted_run_goes_on_where_it_stopped(outcomes, counting, encoder, tmp_path):
    learner = counting()

    def stop(done: int, _: int) -> None:
        if done == 4:  # beast and the baselines, on two folds
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(cross_validate(outcomes, "cost_usd", CrossValidation(3, 1), learner, encoder, {}, tmp_path, stop))
    assert len(learner.fits) == 2
    again = counting()
    results(outcomes, again, encoder, tmp_path, protocol=CrossValidation(3, 1))
    assert len(again.fits) == 1


def test_a_peer_that_joins_leaves_the_others_as_they_are(outcomes, counting, encoder, tmp_path):
    results(outcomes, counting(), encoder, tmp_path)
    ours, rival = counting(), counting()
    results(outcomes, ours, encoder, tmp_path, {"rival": rival})
    assert (len(ours.fits), len(rival.fits)) == (0, 6)


def test_other_data_are_learned_anew(outcomes, counting, encoder, tmp_path):
    results(outcomes, counting(), encoder, tmp_path)
    learner = counting()
    results(replace(outcomes, quality=1.0 - outcomes.quality), learner, encoder, tmp_path)
    assert len(learner.fits) == 6


def test_outcomes_of_tested_queries_change_no_decision_about_them(outcomes, counting, encoder):
    train, test = next(iter(split(outcomes, "question", 3, 0)))
    hidden = test[:, None]
    rng = np.random.default_rng(0)
    other: OutcomeMatrix = replace(
        outcomes,
        quality=np.where(hidden, rng.random(outcomes.quality.shape), outcomes.quality),
        cost_usd=np.where(hidden, rng.random(outcomes.quality.shape), outcomes.cost_usd),
    )
    for name, learner in (("beast", counting()), ("baselines", None)):
        first, second = (
            run_fold(data, train, test, "cost_usd", 0, name, learner, encoder) for data in (outcomes, other)
        )
        for before, after in zip(first.routers, second.routers, strict=True):
            np.testing.assert_array_equal(before.predictions.quality, after.predictions.quality)
            np.testing.assert_array_equal(before.operating["100"], after.operating["100"])


def test_queries_that_some_model_did_not_answer_are_decided_too(outcomes, counting, encoder, tmp_path):
    holes = thin_out(outcomes, np.random.default_rng(0), 0.1)
    (seed,) = results(holes, counting(), encoder, tmp_path, protocol=CrossValidation(3, 1))
    assert all(np.isfinite(router.predictions.quality).all() for router in seed.routers)


def test_a_distilled_router_is_measured_before_that_too(outcomes, counting, encoder):
    @dataclass(frozen=True)
    class Served:
        undistilled: EmbeddedRouter

        @property
        def out_of_fold(self) -> Predictions:
            return self.undistilled.out_of_fold

        def predict(self, prompts, tasks) -> Predictions:
            told = self.undistilled.predict(prompts, tasks)
            return replace(told, quality=told.quality.round(1))

    @dataclass(frozen=True)
    class Distilling:
        def fit(self, *arguments) -> Served:
            return Served(counting().fit(*arguments))

    train, test = next(iter(split(outcomes, "question", 3, 0)))
    served, whole = run_fold(outcomes, train, test, "cost_usd", 0, "beast", Distilling(), encoder).routers
    assert (served.name, whole.name) == ("beast", "beast_undistilled")
    np.testing.assert_array_equal(served.predictions.quality, whole.predictions.quality.round(1))
