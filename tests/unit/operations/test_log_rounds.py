from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.logs.simulate import simulate
from beast_ml.logs.simulate.config import FailureConfig, PolicyConfig, SimulationConfig
from beast_ml.logs.splits import question_numbers
from beast_ml.operations.log_rounds import failure_rates, logged_choices, logged_rounds
from beast_ml.testing.worlds import make_world


@pytest.fixture(scope="module")
def logged():
    config = SimulationConfig(
        requests=600, policy=PolicyConfig(kind="epsilon-greedy", epsilon=0.3), failures=FailureConfig(rate=0.05)
    )
    world = make_world(np.random.default_rng(0), 200)
    return LoggedOutcomes.from_table(pa.concat_tables(simulate(world.outcomes, config, np.random.default_rng(0))))


def choices_of(logged):
    columns = np.zeros((len(logged.chosen), 1))
    return logged_choices(logged, columns, np.arange(len(logged.chosen)) % 5, np.random.default_rng(1))


def test_logged_propensities_are_kept_and_missing_ones_estimated(logged):
    missing = np.arange(len(logged.chosen)) % 2 == 0
    choices = choices_of(replace(logged, propensity=np.where(missing, np.nan, logged.propensity)))
    assert choices.n_estimated == missing.sum()
    np.testing.assert_array_equal(choices.propensity[~missing], logged.propensity[~missing])
    np.testing.assert_allclose(choices.propensity[missing], logged.propensity[missing], atol=0.05)
    assert len(choices.rows(missing).propensity) == missing.sum()


def test_a_failure_of_the_chosen_model_has_no_quality(logged):
    rounds = logged_rounds(logged, choices_of(logged), logged.matrix.quality, np.zeros(logged.matrix.quality.shape))
    assert logged.failed.any()
    assert np.isnan(rounds.reward[logged.failed]).all()
    assert (rounds.question == question_numbers(logged.matrix.prompts)).all()


def test_failure_rates_are_of_the_other_folds_and_never_certain(logged):
    folds = np.arange(len(logged.chosen)) % 5
    rates = failure_rates(logged, folds)
    assert ((rates > 0) & (rates < 0.5)).all()
    always = failure_rates(replace(logged, served=np.where(folds == 0, -1, logged.served)), folds)
    np.testing.assert_array_equal(always[folds == 0], rates[folds == 0])
    assert (always[folds == 1] > rates[folds == 1]).all()
