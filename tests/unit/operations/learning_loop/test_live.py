"""What the loop hands to a training, of a log that earlier champions and other people's experiments wrote as well."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from beast_ml.logs.store import LogStore
from beast_ml.operations.learning_loop import live
from beast_ml.operations.learning_loop.live import LiveSurroundings
from beast_ml.operations.learning_loop.states import LoopState
from beast_ml.registry.config import TrackingConfig
from beast_ml.testing.costly_logs import costly_log

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path) -> LogStore:
    """A log in turns of a champion, of an earlier one with a model that was retired since, and of nobody known."""
    turns = iter(range(10_000))

    def decide(row):
        turn = next(turns)
        row["prompt"], row["propensity"] = f"What is {turn}?", None if turn % 4 == 3 else 0.5
        row["policy_version"] = ("now", "now", "before", "unknown")[turn % 4]
        row["candidates"] = ["kept", "other", *(["retired"] if turn % 4 > 1 else [])]
        row["chosen_model"] = row["served_model"] = row["candidates"][turn // 4 % len(row["candidates"])]
        row["attempts"] = []

    return costly_log(tmp_path / "log", days=2, per_day=60, change=decide)


def test_whatever_has_propensities_is_learnt_from_but_of_the_champions_models_alone(store, tmp_path, monkeypatch):
    handed = []

    def train(logged, **told):
        handed.append((logged, told["policy_version"]))
        return SimpleNamespace(registered=SimpleNamespace(version=2))

    monkeypatch.setattr(live, "train_from_log", train)
    monkeypatch.setattr(live, "close_killed", lambda *_: None)
    monkeypatch.setattr(live, "trained_version", lambda *_: None)
    monkeypatch.setattr(live, "digest_of", lambda *_: "now")
    manifest = SimpleNamespace(models=("kept", "never asked", "other"))
    monkeypatch.setattr(LiveSurroundings, "_bundle", lambda *_: SimpleNamespace(manifest=manifest))
    around = LiveSurroundings(store, tmp_path / "quarantine", TrackingConfig(), tmp_path / "experiments", tmp_path)
    until = datetime(2100, 1, 1, tzinfo=UTC)
    assert around.train(LoopState(entered_at=AT, step="train", champion=1, rows_until=until)) == 2
    ((logged, judged_by),) = handed
    assert judged_by == "now"
    assert logged.matrix.models == ("kept", "other")
    assert sorted(set(logged.policy_version.tolist())) == ["before", "now"]
    assert (logged.policy_version == "now").sum() == 60
