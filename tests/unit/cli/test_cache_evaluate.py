import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beast_ml.cache.embedding.onnx_encoder import OnnxEncoder
from beast_ml.features.hashing import HashingEncoder

CITIES = ("Paris", "Rome", "Oslo", "Cairo", "Lima", "Quito", "Hanoi", "Accra", "Delhi", "Kyoto")


def write_pairs(path, seed, n=240, **changed):
    rng = np.random.default_rng(seed)
    city, other = rng.integers(10, size=n), rng.integers(10, size=n)
    same = rng.random(n) < 0.5
    other = np.where(same, city, other)
    columns = {
        "text_a": [f"What is best in {CITIES[c]}? {seed} {i}" for i, c in enumerate(city)],
        "text_b": [f"Best of {CITIES[c]}, {seed} {i}" for i, c in enumerate(other)],
        "is_duplicate": (city == other).tolist(),
    } | changed
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture
def quick_vectors(monkeypatch):
    """Hashed words instead of MiniLM: what is embedded is not at issue here."""
    monkeypatch.setattr(OnnxEncoder, "minilm", classmethod(lambda _cls: HashingEncoder(64)))


def evaluate(beast, tmp_path, test, out, *more):
    train = write_pairs(tmp_path / "train.parquet", 0)
    arguments = ("--train-pairs", train, "--test-pairs", test, "--epsilon", 0.05, "--out", tmp_path / out, *more)
    return beast("cache", "evaluate", *arguments)


def test_decisions_and_a_report_are_written(beast, tmp_path, quick_vectors):
    test = write_pairs(tmp_path / "test.parquet", 1)
    code, printed, _ = evaluate(beast, tmp_path, test, "out", "--delta", 0.2)
    assert code == 0
    assert "240 lookups, epsilon 5.00%" in printed
    decisions = pq.read_table(tmp_path / "out" / "decisions.parquet").to_pydict()
    assert list(decisions) == ["row", "hit", "score"]
    assert decisions["row"] == list(range(240))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["methods"]["verifier"]["n_hits"] == sum(decisions["hit"])
    assert all(
        hit == (score >= report["threshold"]["value"])
        for hit, score in zip(decisions["hit"], decisions["score"], strict=True)
    )
    assert (tmp_path / "out" / "curve.png").is_file()
    assert (tmp_path / "out" / "vectors.npz").is_file()


def test_labels_of_the_test_pairs_change_no_decision(beast, tmp_path, quick_vectors):
    test = write_pairs(tmp_path / "test.parquet", 1)
    turned = write_pairs(
        tmp_path / "turned.parquet",
        1,
        is_duplicate=[not same for same in pq.read_table(test)["is_duplicate"].to_pylist()],
    )
    bare = write_pairs(tmp_path / "bare.parquet", 1, is_duplicate=[0] * 240)
    pq.write_table(pq.read_table(bare).drop_columns("is_duplicate"), bare)
    decisions = []
    for name, path in (("one", test), ("two", turned), ("three", bare)):
        assert evaluate(beast, tmp_path, path, name)[0] == 0
        decisions.append(pq.read_table(tmp_path / name / "decisions.parquet"))
    assert decisions[0].equals(decisions[1])
    assert decisions[0].equals(decisions[2])
    assert not (tmp_path / "three" / "curve.png").exists()


def test_json_is_for_programs(beast, tmp_path, quick_vectors):
    test = write_pairs(tmp_path / "test.parquet", 1)
    code, printed, _ = evaluate(beast, tmp_path, test, "out", "--json")
    assert code == 0
    assert json.loads(printed)["epsilon"] == 0.05


@pytest.mark.parametrize(
    ("more", "message"),
    [(("--delta", 2), "`delta` == 2.0, must be above 0"), (("--most-pairs", 30), "must be 20 of each")],
)
def test_wrong_input_is_said_in_one_sentence(beast, tmp_path, quick_vectors, more, message):
    test = write_pairs(tmp_path / "test.parquet", 1)
    code, _, errors = evaluate(beast, tmp_path, test, "out", *more)
    assert code == 2
    assert message in errors.replace("\n", " ")


def test_a_missing_file_is_named(beast, tmp_path):
    code, _, errors = evaluate(beast, tmp_path, tmp_path / "nowhere.parquet", "out")
    assert code == 2
    assert "nowhere.parquet is no file" in errors


def test_peers_are_run_where_they_are_installed(beast, tmp_path, quick_vectors):
    test = write_pairs(tmp_path / "test.parquet", 1)
    code, _, _ = evaluate(beast, tmp_path, test, "out", "--peers")
    assert code == 0
    methods = json.loads((tmp_path / "out" / "report.json").read_text())["methods"]
    assert "vCache's rule, pooled" in methods


def test_the_command_starts_without_what_it_may_not_need():
    code = (
        "import sys; import beast_ml.cli.main, beast_ml.cache.verifier.evaluate, beast_ml.cache.verifier.training; "
        "heavy = {'mlflow', 'torch', 'sentence_transformers', 'sklearn', 'lightgbm'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
