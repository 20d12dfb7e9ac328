"""Small logs whose truth is known."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

MODELS = ("large", "medium", "small")
SKILL = np.array([0.9, 0.7, 0.4])


@pytest.fixture
def files(tmp_path):
    """Return a writer of a log of 300 requests and a target, with changes to their columns."""

    def write(change_log=None, change_target=None, n=300, shares=(0.5, 0.25, 0.25)):
        rng = np.random.default_rng(1)
        chosen = rng.choice(3, size=n, p=shares)
        log = {
            "request_id": [f"r{i}" for i in range(n)],
            "chosen_model": [MODELS[j] for j in chosen],
            "propensity": np.array(shares)[chosen].tolist(),
            "candidates": [list(MODELS)] * n,
            "prompt": [f"what is {i} plus {i * 7 % 13}" for i in range(n)],
            "quality": (rng.random(n) < SKILL[chosen]).astype(float).tolist(),
            "cost_usd": (rng.random(n) * np.array([3.0, 2.0, 1.0])[chosen]).tolist(),
        }
        target = {
            "request_id": [f"r{i}" for i in range(n) for _ in range(2)],
            "model": ["large", "medium"] * n,
            "probability": [0.75, 0.25] * n,
        }
        (change_log or (lambda _: None))(log)
        (change_target or (lambda _: None))(target)
        types = {
            "chosen_model": pa.string(),
            "prompt": pa.string(),
            "propensity": pa.float64(),
            "quality": pa.float64(),
        }
        columns = {name: pa.array(values, types.get(name)) for name, values in log.items()}
        pq.write_table(pa.table(columns), tmp_path / "log.parquet")
        pq.write_table(pa.table(target), tmp_path / "target.parquet")
        return tmp_path / "log.parquet", tmp_path / "target.parquet"

    return write
