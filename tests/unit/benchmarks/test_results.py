import numpy as np
import pytest

from beast_ml.benchmarks import results
from beast_ml.errors import DataError


def test_a_write_that_breaks_off_leaves_the_earlier_file(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    results.write_json(path, {"a": 1})

    def no_space(*_):
        raise OSError("no space left")

    monkeypatch.setattr("pathlib.Path.replace", no_space)
    with pytest.raises(DataError, match="no space left"):
        results.write_json(path, {"a": 2})
    assert path.read_text() == '{\n  "a": 1\n}\n'


def test_arrays_are_written_without_pickles(tmp_path):
    results.write_arrays(tmp_path / "a.npz", x=np.arange(3))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as stored:
        assert stored["x"].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="allow_pickle"):
        results.write_arrays(tmp_path / "b.npz", x=np.array([object()]))


def test_keys_tell_settings_apart():
    assert results.result_key({"a": 1}) != results.result_key({"a": 2})


def test_the_digest_of_code_is_that_of_the_parts_that_are_asked_for():
    assert results.code_digest(("policy",)) != results.code_digest(("policy", "domain"))
    assert results.code_digest() != results.code_digest(results.LEARNING_CODE)
