import msgspec
import pytest

from beast_ml.experiments.definitions import Experiment, Variant
from beast_ml.experiments.experiments_file import Experiments, write_experiments
from beast_ml.experiments.followed import FollowedExperiments


class Hand:
    """A clock hand that is moved by the test."""

    at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def hand() -> Hand:
    return Hand()


def experiments(name: str) -> Experiments:
    return Experiments().put(Experiment(id=name, variants=(Variant(name="control", policy="champion", share=1.0),)))


def test_a_change_is_seen_within_a_second(tmp_path, hand):
    path = tmp_path / "experiments.json"
    followed = FollowedExperiments(path, monotonic=hand)
    assert followed.of("acme", None, None, "r") is None
    write_experiments(path, experiments("first"))
    assert followed.of("acme", None, None, "r") is None
    hand.at = 1.0
    assert followed.of("acme", None, None, "r").experiment.id == "first"
    write_experiments(path, experiments("second"))
    hand.at = 2.0
    assert followed.of("acme", None, None, "r").experiment.id == "second"
    path.unlink()
    hand.at = 3.0
    assert followed.of("acme", None, None, "r") is None


def test_the_same_file_is_read_once(tmp_path, hand):
    path = tmp_path / "experiments.json"
    write_experiments(path, experiments("first"))
    followed = FollowedExperiments(path, monotonic=hand)
    before = followed.of("acme", None, None, "r")
    hand.at = 10.0
    assert followed.of("acme", None, None, "r") is before


def test_while_the_file_is_broken_the_last_good_one_holds(tmp_path, hand):
    path = tmp_path / "experiments.json"
    write_experiments(path, experiments("first"))
    followed = FollowedExperiments(path, monotonic=hand)
    path.write_text("{", "utf-8")
    for hand.at in (1.0, 2.0):
        assert followed.of("acme", None, None, "r").experiment.id == "first"
        assert "holds no experiments" in followed.error
    write_experiments(path, experiments("second"))
    hand.at = 3.0
    assert followed.of("acme", None, None, "r").experiment.id == "second"
    assert followed.error is None


def test_a_path_that_is_no_file_is_told_and_nothing_is_drawn(tmp_path, hand):
    path = tmp_path / "experiments.json"
    path.mkdir()
    followed = FollowedExperiments(path, monotonic=hand)
    assert followed.of("acme", None, None, "r") is None
    assert followed.error


def test_a_change_made_from_an_older_version_does_not_undo_a_newer_one(tmp_path, hand):
    path = tmp_path / "experiments.json"
    write_experiments(path, experiments("first"))
    mine, others = FollowedExperiments(path, monotonic=hand), FollowedExperiments(path, monotonic=hand)
    (seen,) = mine.experiments.experiments
    assert others.put(msgspec.structs.replace(seen, status="stopped"))
    assert not mine.put(seen.with_shares({"control": 0.5}), instead_of=seen)
    assert mine.experiments.running() == ()
    (now,) = mine.experiments.experiments
    assert [each.shares for each in now.history] == [{}]
    assert mine.put(msgspec.structs.replace(now, status="running"), instead_of=now)
