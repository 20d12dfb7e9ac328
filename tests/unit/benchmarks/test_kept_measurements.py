import pytest

from beast_ml.benchmarks.kept_measurements import KeptMeasurements
from beast_ml.errors import InputError, UnavailableError


def any_error(error):
    return True


def refuse():
    raise UnavailableError("nobody there\nreally")


def test_what_was_measured_is_found_again_under_equal_settings_only(tmp_path):
    (tmp_path / "scratch").mkdir()
    for _ in range(2):
        said = []
        kept = KeptMeasurements(tmp_path, "cases", said.append)
        assert kept.get("a, b", {"n": 1}, int, lambda: 7, any_error) == 7
    assert said[0].startswith("a, b: found in ")
    assert kept.get("a, b", {"n": 2}, int, lambda: 8, any_error) == 8
    assert not (tmp_path / "scratch").exists()


def test_what_may_fail_is_left_out_with_its_reason_and_measured_the_next_time(tmp_path):
    said = []
    kept = KeptMeasurements(tmp_path, "cases", said.append)
    assert kept.get("a", {}, int, refuse, any_error) is None
    assert kept.left_out == {"a": "nobody there\nreally"}
    assert said[-1] == "warning: a is left out: nobody there"
    assert kept.get("a", {}, int, lambda: 7, any_error) == 7


def test_what_must_not_fail_is_raised(tmp_path):
    kept = KeptMeasurements(tmp_path, "cases", print)
    with pytest.raises(UnavailableError):
        kept.get("a", {}, int, refuse, lambda error: isinstance(error, InputError))
    assert kept.left_out == {}
