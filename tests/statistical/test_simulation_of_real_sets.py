"""The simulator takes any real outcome set, however sparse."""

import os
from pathlib import Path

import numpy as np
import pytest

from beast_ml.logs.ingest_outcomes import read_outcomes
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.simulate import PolicyConfig, Simulation, SimulationConfig
from beast_ml.logs.simulate.truth import policy_value

SETS = ("routerbench3", "routellm_pair", "messplus", "zeroeval", "bfcl_2024_08")


@pytest.mark.real_data
@pytest.mark.parametrize("name", SETS)
def test_propensities_estimate_the_true_value_of_the_logging_policy(name: str) -> None:
    path = Path(os.environ.get("BEAST_DATA_DIR", "")) / name / "outcomes.parquet"
    if not path.is_file():
        pytest.skip(f"{name} is not in BEAST_DATA_DIR")
    outcomes = OutcomeMatrix.from_frame(read_outcomes(path).frame)
    config = SimulationConfig(requests=5000, policy=PolicyConfig(kind="softmax", per="task", temperature=0.2))
    simulation = Simulation(outcomes, config, np.random.default_rng(0))
    (chunk,) = simulation.chunks()
    n_asked = np.bincount(chunk.queries, minlength=outcomes.n_queries)
    truth = policy_value(simulation, simulation.policy.probabilities, n_asked)
    logged = chunk.requests["quality"].to_numpy()
    assert truth.quality == pytest.approx(logged.mean(), abs=4 * logged.std() / np.sqrt(len(logged)))
    assert truth.share == pytest.approx(1.0)
    uniform = simulation.policy.candidates / np.maximum(simulation.policy.candidates.sum(axis=1, keepdims=True), 1)
    chosen = np.array([outcomes.models.index(model) for model in chunk.requests["chosen_model"].to_pylist()])
    scores = uniform[chunk.queries, chosen] / chunk.requests["propensity"].to_numpy() * logged
    value = policy_value(simulation, uniform, n_asked).quality
    assert value == pytest.approx(scores.mean(), abs=4 * scores.std() / np.sqrt(len(scores)))
