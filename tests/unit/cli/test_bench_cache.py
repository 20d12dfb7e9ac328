import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beast_ml.cache.embedding.onnx_encoder import OnnxEncoder
from beast_ml.features.hashing import HashingEncoder

CITIES = ("Paris", "Rome", "Oslo", "Cairo", "Lima", "Quito", "Hanoi", "Accra", "Delhi", "Kyoto")


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder with one small public set, and hashed words instead of MiniLM."""
    monkeypatch.setattr(OnnxEncoder, "minilm", classmethod(lambda _cls: HashingEncoder(64)))
    rng = np.random.default_rng(0)
    a, b = rng.integers(10, size=260), rng.integers(10, size=260)
    b = np.where(rng.random(260) < 0.4, a, b)
    columns = {
        "text_a": [f"What is best in {CITIES[city]}? {i}" for i, city in enumerate(a)],
        "text_b": [f"Best of {CITIES[city]}, {i}" for i, city in enumerate(b)],
        "is_duplicate": (a == b).tolist(),
    }
    (tmp_path / "data" / "cache_qqp").mkdir(parents=True)
    pq.write_table(pa.table(columns), tmp_path / "data" / "cache_qqp" / "pairs.parquet")
    return tmp_path / "data"


@pytest.mark.slow
def test_figures_are_measured_and_found_again(beast, data):
    arguments = ("bench", "cache", "--sets", "qqp,adversarial,mock", "--quick", "--data", data, "--out", "bench")
    code, printed, said = beast(*arguments)
    assert code == 0
    assert "The promise" in printed
    assert "mock is left out" in said.replace("\n", " ")
    code, printed, said = beast(*arguments, "--json")
    assert code == 0
    assert "qqp: found in" in said.replace("\n", " ")
    found = json.loads(printed)
    assert found["sets"]["qqp"]["splits"] == 3
    assert found["sets"]["adversarial"]["pairs"] >= 300
    assert "mock" in found["left_out"]


def test_an_unknown_set_is_named(beast, data):
    code, _, said = beast("bench", "cache", "--sets", "nothing", "--data", data)
    assert code == 2
    assert "`--sets` == 'nothing'" in said


def test_without_labelled_pairs_the_replay_is_left_out(beast, data):
    code, printed, said = beast("bench", "cache", "--sets", "replay", "--data", data / "none")
    assert code == 0
    assert "replay is left out" in said.replace("\n", " ")
    assert "ladder.png" not in printed
