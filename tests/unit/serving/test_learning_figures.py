"""The learning loop and drift on /metrics, from the very files that they leave."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from beast_ml.operations.drift.monitor import Alarm, DriftMonitor
from beast_ml.operations.drift.signals import StreamKey
from beast_ml.operations.learning_loop.state_file import DRIFT_FILE, LOOP_FILE, StateFile
from beast_ml.operations.learning_loop.states import LoopState
from beast_ml.serving.learning_figures import FollowedLearning
from beast_ml.serving.metrics import ServingMetrics

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def write_monitor(folder, *alarms):
    monitor = DriftMonitor(last_at=NOW)
    monitor.alarms = {alarm.key: alarm for alarm in alarms}
    monitor.raised = {"quality": 3}
    (folder / "new").write_text(json.dumps(monitor.state()))
    (folder / "new").replace(folder / DRIFT_FILE)


def alarm(policy, at):
    return Alarm(StreamKey("quality", policy, "large", ""), at, at, None)


def shown(metrics):
    families = text_string_to_metric_families(metrics.render().decode())
    return {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}


def test_files_are_read_when_they_change_and_of_all_policies_the_latest_alarm_counts(tmp_path):
    followed = FollowedLearning(tmp_path)
    assert followed.changed() is None
    write_monitor(tmp_path, alarm("1", NOW), alarm("2", NOW - timedelta(days=1)))
    found = followed.changed()
    assert found.loop is None
    assert found.drifted == {("quality", "large", ""): NOW}
    assert found.watched_until == NOW
    assert followed.changed() is None
    StateFile(tmp_path / LOOP_FILE).write(LoopState(entered_at=NOW, step="canary", cycle=3))
    assert followed.changed().loop.step == "canary"
    (tmp_path / DRIFT_FILE).write_text("no")
    with pytest.raises(msgspec.DecodeError):
        followed.changed()
    assert followed.changed() is None


def test_two_workers_show_one_loop_and_an_alarm_that_is_gone_is_zero(tmp_path):
    folder = tmp_path / "learning"
    folder.mkdir()
    write_monitor(folder, alarm("1", NOW))
    state = LoopState(entered_at=NOW, step="train", cycle=2, verdict="rejected").concluded(NOW)
    StateFile(folder / LOOP_FILE).write(state)
    workers = [(ServingMetrics(tmp_path / "metrics"), FollowedLearning(folder)) for _ in range(2)]
    for metrics, followed in workers:
        metrics.set_learning(followed.changed())
    values = shown(workers[0][0])
    stream = ("kind", ""), ("model", "large"), ("signal", "quality")
    assert values["beast_drift_alarm_timestamp_seconds", *stream] == NOW.timestamp()
    assert values["beast_drift_alarms_raised", ("signal", "quality")] == 3  # by all workers together, not by each
    assert values["beast_drift_watched_until_timestamp_seconds",] == NOW.timestamp()
    steps = {dict(labels)["step"]: v for (name, *labels), v in values.items() if name == "beast_learning_loop_step"}
    assert [step for step, value in steps.items() if value] == ["collect"]
    assert values["beast_learning_loop_cycle",] == 3
    assert values["beast_learning_loop_ended_cycles", ("verdict", "rejected")] == 1
    write_monitor(folder)
    for metrics, followed in workers:
        metrics.set_learning(followed.changed())
    assert shown(workers[1][0])["beast_drift_alarm_timestamp_seconds", *stream] == 0.0
    for metrics, _ in workers:
        metrics.close()


def test_a_server_beside_the_loop_shows_it(serving, tmp_path):
    folder = tmp_path / "learning"
    StateFile(folder / LOOP_FILE).write(LoopState(entered_at=NOW, step="watch"))
    api = serving(learning=folder)
    deadline = datetime.now(UTC) + timedelta(seconds=20)
    line = 'beast_learning_loop_step{step="watch"} 1.0'
    while line not in (text := api.get("/metrics", "an-admin-key-of-the-tests").text):
        assert datetime.now(UTC) < deadline, text
