"""What the loop hands to a training, of a log that earlier champions and other people's experiments wrote as well."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from beast_ml.logs.store import LogStore
from beast_ml.operations.learning_loop import live
from beast_ml.operations.learning_loop.live import LiveSurroundings
from beast_ml.operations.learning_loop.states import LoopState
from beast_ml.registry.config import TrackingConfig
from beast_ml.testing.costly_logs import COSTLY_START, costly_log

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


@pytest.fixture
def train(store, tmp_path, monkeypatch):
    """Let a cycle of a loop that takes so many requests learn; return what was handed to the training."""

    def trained(cycle: int = 1, requests: int = 100_000, stale: dict[str, datetime] | None = None):
        handed = []

        def take(logged, **told):
            handed.append((logged, told))
            return SimpleNamespace(registered=SimpleNamespace(version=2))

        monkeypatch.setattr(live, "train_from_log", take)
        heard: list[str] = []
        places = (tmp_path / "quarantine", TrackingConfig(), tmp_path / "experiments", tmp_path)
        around = LiveSurroundings(store, *places, requests=requests, say=heard.append)
        until = datetime(2100, 1, 1, tzinfo=UTC)
        state = LoopState(entered_at=AT, step="train", cycle=cycle, champion=1, rows_until=until, stale=stale or {})
        assert around.train(state) == 2
        ((logged, told),) = handed
        return logged, told, heard

    monkeypatch.setattr(live, "close_killed", lambda *_: None)
    monkeypatch.setattr(live, "trained_version", lambda *_: None)
    monkeypatch.setattr(live, "digest_of", lambda *_: "now")
    manifest = SimpleNamespace(models=("kept", "never asked", "other"))
    monkeypatch.setattr(LiveSurroundings, "_bundle", lambda *_: SimpleNamespace(manifest=manifest))
    return trained


def test_whatever_has_propensities_is_learnt_from_but_of_the_champions_models_alone(train):
    logged, told, heard = train()
    assert told["policy_version"] == "now"
    assert logged.matrix.models == ("kept", "other")
    assert sorted(set(logged.policy_version.tolist())) == ["before", "now"]
    assert (logged.policy_version == "now").sum() == 60
    assert told["drawn_from"] == logged.matrix.n_queries
    assert heard == []


def test_of_a_long_log_as_much_of_the_champion_as_of_the_others_and_the_same_when_done_again(train):
    whole, _, _ = train()
    logged, told, heard = train(requests=24)
    assert [int((logged.policy_version == name).sum()) for name in ("now", "before")] == [12, 12]
    assert told["drawn_from"] == whole.matrix.n_queries
    assert "learning from 24 of 80 requests" in heard[0]
    assert "`learning.requests` in mlflow.yaml takes more" in heard[0]
    assert train(requests=24)[0].matrix.digest() == logged.matrix.digest()
    assert set(train(cycle=2, requests=24)[0].matrix.query_ids) != set(logged.matrix.query_ids)


def test_where_others_decided_less_than_half_the_champion_fills_what_they_leave(train):
    logged, _, _ = train(requests=60)
    assert [int((logged.policy_version == name).sum()) for name in ("now", "before")] == [40, 20]


def test_what_came_since_a_model_changed_is_not_drawn_away(train):
    at = COSTLY_START + timedelta(days=1.8)
    whole, _, _ = train(stale={"other": at})
    logged, _, _ = train(requests=40, stale={"other": at})
    since = [each.received_at >= np.datetime64(at.replace(tzinfo=None)) for each in (logged, whole)]
    assert since[0].sum() == since[1].sum() > 4
    of_other = [each.matrix.quality[:, each.matrix.models.index("other")] for each in (logged, whole)]
    assert np.isfinite(of_other[0]).sum() == np.isfinite(of_other[1]).sum() > 0
