import os
import signal
import sys
import time

import pytest

from beast_ml.benchmarks.serving.processes import ServerProcess, on_cores
from beast_ml.benchmarks.serving.subjects import echo
from beast_ml.errors import UnavailableError


def test_a_server_is_watched_while_it_runs_and_gone_after(tmp_path):
    with echo().start(tmp_path, workers=1) as server:
        assert server.workers() == [server.process.pid]
        assert server.ready_s > 0
        assert server.post("/", b'{"a": 1}') == (200, b'{"a": 1}')
        usage = server.usage()[server.process.pid]
        assert usage.rss_bytes > 1e6
        assert usage.cpu_s > 0
    assert server.process.poll() is not None
    assert not server.answers("/")


def test_workers_are_those_that_hold_the_socket_not_their_parent(tmp_path):
    with echo().start(tmp_path, workers=2) as server:
        workers = server.workers()
        assert len(workers) == 2
        assert server.process.pid not in workers
        assert set(workers) < set(server.pids())
        os.kill(workers[0], signal.SIGKILL)
        deadline = time.monotonic() + 30
        while workers[0] in server.workers() or len(server.workers()) < 2:
            assert time.monotonic() < deadline
        server.kill()
        assert server.usage().keys() <= {server.process.pid}


def test_one_that_is_over_is_killed_no_second_time(tmp_path, monkeypatch):
    with echo().start(tmp_path, workers=1) as server:
        server.kill()
        signals = []
        monkeypatch.setattr(os, "kill", lambda *call: signals.append(call))
        monkeypatch.setattr(os, "killpg", lambda *call: signals.append(call))
        server.kill()
    assert signals == []  # neither to it nor to whoever has its ids now


def test_one_that_ends_is_reported_with_what_it_said(tmp_path):
    command = [sys.executable, "-c", "import sys; sys.exit('no such luck')"]
    with pytest.raises(UnavailableError, match="no such luck"):
        ServerProcess.start(command, 1, tmp_path / "log")


def test_one_that_is_interrupted_before_it_is_ready_is_killed(tmp_path, monkeypatch):
    started = []

    def interrupted(server, _):
        started.append(server.process)
        raise KeyboardInterrupt

    monkeypatch.setattr(ServerProcess, "answers", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ServerProcess.start([sys.executable, "-c", "import time; time.sleep(60)"], 1, tmp_path / "log")
    assert started[0].poll() == -signal.SIGKILL


def test_one_that_does_not_get_ready_is_killed(tmp_path):
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(UnavailableError, match="was not ready after"):
        ServerProcess.start(command, 1, tmp_path / "log", within_s=0.3)


def test_settings_of_this_process_do_not_reach_it(tmp_path, monkeypatch):
    monkeypatch.setenv("BEAST_SERVING__PORT", "1")
    command = [sys.executable, "-c", "import os; raise SystemExit(str([n for n in os.environ if 'BEAST' in n]))"]
    with pytest.raises(UnavailableError, match=r"\['BEAST_MINE'\]"):
        ServerProcess.start(command, 1, tmp_path / "log", environment={"BEAST_MINE": "1"})


def test_cores_are_given_back():
    before = os.sched_getaffinity(0)
    with on_cores([min(before)]):
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before
