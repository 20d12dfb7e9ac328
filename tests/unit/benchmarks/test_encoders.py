from dataclasses import replace

import numpy as np
import pytest

from beast_ml.benchmarks.encoders import compare_encoders
from beast_ml.errors import InputError, NotEnoughDataError
from beast_ml.policy.learner import RouterLearner
from beast_ml.testing.router_fixtures import TINY
from beast_ml.testing.worlds import make_world

LEARNER = RouterLearner(families=TINY)


@pytest.fixture(scope="module")
def outcomes():
    return make_world(np.random.default_rng(5), 160).outcomes


def test_every_encoder_is_measured_on_the_same_splits(outcomes, distilled):
    said = []
    compared = compare_encoders(
        outcomes, ("hashing", "tuned"), seeds=(0, 1), n_resamples=50, learner=LEARNER, say=said.append
    )
    hashing, tuned = compared.results
    assert (hashing.encoder, tuned.encoder) == ("hashing", "tuned")
    assert compared.n_train + compared.n_test == outcomes.n_queries
    assert compared.n_test == pytest.approx(0.3 * outcomes.n_queries, rel=0.3)
    assert len(said) == 4
    assert (hashing.gain.value, hashing.gain.low, hashing.gain.high) == (0.0, 0.0, 0.0)
    assert tuned.gain.value == pytest.approx(tuned.share_of_gap.value - hashing.share_of_gap.value)
    assert tuned.gain.low < tuned.gain.value < tuned.gain.high
    for result in compared.results:
        assert 0 < result.brier < 0.3
        assert 0 < result.brier_out_of_fold < 0.3
        assert result.encode_us > 0
        assert result.training_s > 0
        assert set(result.to_dict()) >= {"share_of_gap", "gain", "share_out_of_fold", "encode_us", "training_s"}


def test_a_split_without_a_complete_test_query_is_refused(outcomes):
    cost = outcomes.cost_usd.copy()
    cost[:, 0] = np.nan
    with pytest.raises(NotEnoughDataError, match="on no held-out query was every model observed"):
        compare_encoders(replace(outcomes, cost_usd=cost), ("hashing",))


@pytest.mark.parametrize(("encoders", "seeds"), [((), (0,)), (("hashing",), ())])
def test_nothing_to_compare_is_refused(outcomes, encoders, seeds):
    with pytest.raises(InputError, match="give at least one of each"):
        compare_encoders(outcomes, encoders, seeds=seeds)
