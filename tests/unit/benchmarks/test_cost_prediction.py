import dataclasses

import numpy as np
import pytest

from beast_ml.benchmarks.cost_prediction import measure_amounts
from beast_ml.features.hashing import HashingEncoder
from beast_ml.predictors.families.selection import FamiliesConfig
from beast_ml.predictors.network import NetworkConfig
from beast_ml.testing.worlds import make_world

SMALL = FamiliesConfig(
    ("network",), NetworkConfig(hidden=(32,), dropout=0.1, task_weight=0.0, epochs=12, learning_rate=5e-3)
)


@pytest.fixture(scope="module")
def outcomes():
    return make_world(np.random.default_rng(0), 600).outcomes


def test_every_amount_of_a_set_is_measured_with_its_coverage(outcomes):
    found = measure_amounts(outcomes, HashingEncoder(64), families=SMALL)
    assert set(found.accuracy) == {"input_tokens", "output_tokens", "latency_s", "cost_usd"}
    assert found.accuracy["cost_usd"].log_r2.value > 0.4
    for target, coverage in found.coverage.items():
        assert coverage["coverage_out_of_fold"] == pytest.approx(0.9, abs=0.03)
        assert found.accuracy[target].coverage.value == pytest.approx(coverage["coverage_out_of_fold"])


def test_costs_without_tokens_are_learnt_in_dollars(outcomes):
    unknown = np.full_like(outcomes.cost_usd, np.nan)
    bare = dataclasses.replace(outcomes, input_tokens=unknown, output_tokens=unknown, latency_s=unknown)
    found = measure_amounts(bare, HashingEncoder(64), families=SMALL)
    assert set(found.accuracy) == {"cost_usd"}
