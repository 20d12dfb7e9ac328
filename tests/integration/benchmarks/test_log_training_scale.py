import numpy as np
import pytest

from beast_ml.benchmarks.log_training_scale import log_training_scale
from beast_ml.errors import InputError
from beast_ml.policy.learner import RouterLearner
from beast_ml.testing.router_fixtures import TINY
from beast_ml.testing.worlds import make_world


@pytest.fixture(scope="module")
def outcomes():
    return make_world(np.random.default_rng(0), 300).outcomes


@pytest.mark.slow
def test_each_size_is_trained_on_and_growth_is_between_them(outcomes):
    heard = []
    scale = log_training_scale(outcomes, [900, 600], 0, RouterLearner("hashing", families=TINY), heard.append)
    assert [point.n_requests for point in scale.points] == [600, 900]
    assert all(point.seconds > 0 and point.n_prompts > 100 for point in scale.points)
    assert scale.points[0].peak_memory_mb <= scale.points[1].peak_memory_mb
    first, last = scale.points
    assert last.seconds == pytest.approx(first.seconds * 1.5**scale.growth)
    assert scale.to_dict()["points"][0]["n_requests"] == 600
    assert heard[0].startswith("600 requests: ")


def test_one_size_has_no_growth(outcomes):
    with pytest.raises(InputError, match="at least two"):
        log_training_scale(outcomes, [500, 500], 0)
