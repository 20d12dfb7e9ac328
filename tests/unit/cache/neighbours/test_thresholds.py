import threading

import pytest

from beast_ml.cache.neighbours.frames import Verified
from beast_ml.cache.neighbours.thresholds import KeptThresholds
from beast_ml.cache.verifier.partition_thresholds import PartitionThresholds
from beast_ml.cache.verifier.risk import RiskTarget

GRID = (0.9, 0.7, 0.5)
P, Q = b"p", b"q"


@pytest.fixture
def kept(tmp_path):
    def make(verifier="v", epsilon=0.1, start=0.9):
        thresholds = PartitionThresholds(RiskTarget(epsilon, 0.1), GRID, 0.5, start)
        return KeptThresholds(thresholds, tmp_path / "near.thresholds", verifier)

    return make


def teach(kept, n, wrong=False, partition=P, score=0.95):
    for _ in range(n):
        kept.learn(Verified(0, partition, "acme", score, wrong, 1.0, 1))


def test_it_begins_where_labelled_pairs_have_put_it(kept):
    assert kept().value(P, "acme") == 0.9
    assert kept(start=float("inf")).value(P, "acme") is None


def test_what_was_learnt_outlives_the_process(kept):
    first = kept()
    teach(first, 400)
    assert first.value(P, "acme") == 0.5
    assert first.n_changes == 400
    first.save()
    again = kept()
    assert again.value(P, "acme") == 0.5
    assert again.figures() == first.figures()
    assert again.figures()["verified"] == 400


@pytest.mark.parametrize("changed", [{"verifier": "other"}, {"epsilon": 0.2}])
def test_evidence_of_another_verifier_or_promise_is_none(kept, changed):
    first = kept()
    teach(first, 400)
    first.save()
    assert kept(**changed).value(P, "acme") == 0.9


def test_a_damaged_file_begins_anew(kept, tmp_path):
    (tmp_path / "near.thresholds").write_bytes(b"\xc1 no message")
    assert kept().value(P, "acme") == 0.9


def test_an_alarm_is_on_disk_at_once(kept):
    first = kept()
    teach(first, 100, wrong=True)
    assert first.value(P, "acme") is None
    again = kept()
    assert again.value(P, "acme") is None
    assert again.figures()["alarms"] >= 1


def test_an_alarm_on_a_full_disk_holds_and_breaks_nothing(kept, tmp_path, monkeypatch):
    first = kept()
    monkeypatch.setattr(first, "_path", tmp_path / "near.thresholds" / "below a file")
    (tmp_path / "near.thresholds").touch()
    teach(first, 100, wrong=True)
    assert first.value(P, "acme") is None
    assert first.figures()["alarms"] >= 1


def test_nothing_is_learnt_while_it_is_copied_to_be_saved(kept, monkeypatch):
    first = kept()
    learning = threading.Thread(target=teach, args=(first, 1))
    copied = first._thresholds.state

    def state():
        learning.start()
        learning.join(0.1)
        assert learning.is_alive()
        return copied()

    monkeypatch.setattr(first._thresholds, "state", state)
    first.save()
    learning.join()
    assert (first.figures()["verified"], kept().figures()["verified"]) == (1, 0)


def test_a_verdict_under_other_settings_is_refused_and_nothing_breaks(kept):
    first = kept()
    first.learn(Verified(0, P, "acme", 0.95, False, 0.1))
    assert first.figures()["verified"] == 0


def test_a_partition_that_is_unlike_the_others_is_on_its_own(kept):
    thresholds = kept()
    teach(thresholds, 2000)
    teach(thresholds, 60, wrong=True, partition=Q)
    assert thresholds.value(Q, "acme") is None
