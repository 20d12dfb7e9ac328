from datetime import UTC, datetime, timedelta

import pytest

from beast_ml.serving.refusals import Refusals, refusal_of


class StandingClock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return StandingClock()


@pytest.fixture
def refusals(tmp_path, clock):
    return Refusals(tmp_path / "refused", clock)


def test_what_failed_its_trial_is_tried_again_after_some_minutes(refusals, clock):
    refusals.add(refusal_of("abc", 2, "damaged"))
    clock.now = 299.0
    assert refusals.get("abc").reason == "damaged"
    assert refusals.get("def") is None
    clock.now = 301.0
    assert refusals.get("abc") is None
    assert refusals.all() == ()


def test_what_was_taken_out_of_service_stays_out_for_all_workers_and_after_a_restart(refusals, clock, tmp_path):
    refusals.add(refusal_of("abc", 2, "broke", rolled_back=True))
    clock.now = 1e6
    for each in (refusals, Refusals(tmp_path / "refused", clock)):
        assert each.get("abc").rolled_back
        assert [refusal.digest for refusal in each.all()] == ["abc"]


def test_what_failed_its_trial_here_is_no_matter_elsewhere(refusals, tmp_path):
    refusals.add(refusal_of("abc", 2, "slow"))
    assert Refusals(tmp_path / "refused").get("abc") is None


def test_a_reload_lifts_what_was_refused_before_it(refusals, tmp_path):
    refusals.add(refusal_of("abc", 1, "x", rolled_back=True))
    refusals.add(refusal_of("def", 2, "y"))
    refusals.lift(datetime.now(UTC) - timedelta(hours=1))
    assert [refusal.digest for refusal in refusals.all()] == ["abc", "def"]
    refusals.lift(datetime.now(UTC) + timedelta(seconds=1))
    assert refusals.all() == ()
    assert refusals.get("abc") is None
    assert list((tmp_path / "refused").iterdir()) == []


def test_a_full_disk_keeps_no_broken_bundle_in_service(tmp_path):
    (tmp_path / "refused").write_bytes(b"no folder")
    refusals = Refusals(tmp_path / "refused")
    refusals.add(refusal_of("abc", 1, "x", rolled_back=True))
    assert refusals.get("abc").reason == "x"


def test_a_torn_file_is_passed_over(refusals, tmp_path):
    (tmp_path / "refused").mkdir()
    (tmp_path / "refused" / "abc.json").write_bytes(b"{")
    assert refusals.all() == ()
    assert refusals.get("abc") is None
