import json
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from beast_ml.benchmarks.serving.fault_scenes import SCENES
from beast_ml.benchmarks.serving.faults import Ground, Logged, Staged, Timing, logged_rows, run_fault
from beast_ml.benchmarks.serving.subjects import Subject

SERVER = Subject(
    "rows",
    (sys.executable, str(Path(__file__).with_name("rows_server.py")), "{port}", "{workers}", "{state}"),
    ready="/",
)


@pytest.fixture
def ground(tmp_path, bodies):
    return Ground((tmp_path, tmp_path), bodies, sorted(os.sched_getaffinity(0)), tmp_path, Timing(0.5, 0.5, 1.0, 100.0))


def staged(act, workers=1, **known):
    @contextmanager
    def stage(ground):
        with SERVER.start(ground.folder, workers=workers) as server:
            yield Staged(server, ground.folder / "state" / "segments", workers, break_it=lambda: act(server), **known)

    return stage


def test_without_a_fault_all_is_answered_and_logged(ground):
    result = run_fault("none", staged(lambda _: None, is_back=lambda: True), ground)
    assert (result.failed, result.in_flight, result.lost, result.repeated, result.after_end) == (0, 0, 0, 0, 0)
    assert result.logged == result.answered == result.sent == pytest.approx(150, abs=50)
    assert result.recovery_s is not None


def test_an_end_refuses_what_comes_after_it_and_that_is_no_failure(ground):
    result = run_fault("end", staged(lambda server: server.process.terminate(), ends=True), ground)
    assert result.after_end > 0
    assert result.sent == result.answered + result.after_end + result.failed
    assert result.lost == 0
    assert result.recovery_s is None  # nobody said when it was well again


def test_where_a_load_balancer_leaves_in_time_nothing_is_refused(ground):
    asked = []
    stage = staged(lambda _: None, leaves=lambda: asked.append(1) or len(asked) > 2, is_back=lambda: True)
    result = run_fault("leave", stage, ground)
    assert (result.failed, result.after_end, result.lost) == (0, 0, 0)
    assert result.sent == result.answered < 150  # it stopped before its time
    assert len(asked) == 3


def test_a_death_fails_requests_long_after_it_is_not_excused(ground):
    result = run_fault("death", staged(lambda server: server.kill(), kills=True), ground)
    assert result.failures["refused"] > 0
    assert result.lost == 0


def test_rows_that_are_not_there_are_lost(ground):
    def forget(server):
        for path in (ground.folder / "forgetful" / "state" / "segments").iterdir():
            os.truncate(path, 0)

    result = run_fault("forgetful", staged(forget), ground)
    assert result.lost > 0
    assert result.logged + result.lost == result.answered


def test_a_killed_worker_loses_no_more_than_what_was_in_flight(ground):
    def kill(server):
        os.kill(server.workers()[0], signal.SIGKILL)

    result = run_fault("kill", staged(kill, workers=2, kills=True), ground)
    assert result.failed == 0
    assert result.lost == 0


def test_recovery_may_be_read_from_the_log(ground):
    seen = []

    def back_at(rows, at):
        seen.extend(rows)
        return at + 1.5

    result = run_fault("swap", staged(lambda _: None, back_at=back_at), ground)
    assert result.recovery_s == pytest.approx(1.5)
    assert {row.policy_version for row in seen} == {"abc"}


def test_what_is_logged_is_read_with_its_version_and_time(tmp_path):
    row = {"table": "requests", "request_id": "r", "policy_version": "v", "received_at": "1970-01-01T00:00:01+00:00"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    assert list(logged_rows(tmp_path)) == [Logged("r", "v", 1.0)]


def test_there_is_a_scene_for_every_fault_of_the_report():
    assert list(SCENES) == [
        "hot swap",
        "worker kill -9",
        "SIGHUP replacement",
        "SIGTERM drain",
        "MLflow outage",
        "Valkey outage",
        "PostgreSQL outage",
        "replica kill -9",
        "replica drain",
        "replicas upgraded",
    ]
