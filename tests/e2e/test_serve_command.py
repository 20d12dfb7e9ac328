"""`beast serve` as an operator runs it: real processes, real signals."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from beast_ml.benchmarks.serving.processes import ServerProcess, free_port
from beast_ml.logs.segment_reader import rows_in_segments

COMMAND = [sys.executable, "-m", "beast_ml.cli", "serve"]
PROMPT = {"prompt": "python loop compile stack regex thread"}


@pytest.fixture
def start(tmp_path, router_folder):
    servers = []

    def started(*options, router=None, **environment):
        port = free_port()
        arguments = ["--router", str(router or router_folder), "--port", str(port), "--state", str(tmp_path / "state")]
        server = ServerProcess.start(
            [*COMMAND, *arguments, *options], port, tmp_path / "server.log", environment=environment, folder=tmp_path
        )
        servers.append(server)
        return server

    yield started
    for server in servers:
        server.kill()


def ask(server, body=PROMPT):
    status, answer = server.post("/v1/route", json.dumps(body).encode())
    assert status == 200, answer
    return json.loads(answer)


class Load:
    """Asks without a pause from some threads; a connection for each request."""

    def __init__(self, server, n_threads=4):
        self.decided, self.failed, self._stop = [], [], threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(server,), daemon=True) for _ in range(n_threads)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def _ask(self, server):
        while not self._stop.is_set():
            try:
                self.decided.append(ask(server)["request_id"])
            except (AssertionError, OSError, ValueError) as error:
                self.failed.append(repr(error))

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.slow
def test_what_was_acknowledged_is_on_record_after_a_kill_and_the_worker_is_back(start, tmp_path):
    server = start("--workers", "2")
    with Load(server) as load:
        time.sleep(1.0)
        os.kill(server.workers()[0], signal.SIGKILL)
        time.sleep(4.0)
    deadline = time.monotonic() + 30.0
    while len(server.workers()) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(server.workers()) == 2
    assert len(load.failed) <= 4, load.failed  # at most what was in flight, one a thread
    server.stop()
    logged = [row["request_id"] for row in rows_in_segments(tmp_path / "state" / "segments")]
    assert set(load.decided) <= set(logged)
    assert len(logged) == len(set(logged))


@pytest.mark.slow
def test_told_to_stop_it_ends_what_it_has_begun_and_seals_its_log(start, tmp_path):
    server = start()
    decided = [ask(server)["request_id"] for _ in range(20)]
    assert server.stop() < 20.0
    assert server.process.returncode == 0
    segments = list((tmp_path / "state" / "segments").glob("*"))
    assert segments
    assert not [each for each in segments if ".open" in each.name]
    assert [row["request_id"] for row in rows_in_segments(tmp_path / "state" / "segments")] == decided


@pytest.mark.slow
def test_told_to_stop_it_refuses_new_connections_while_it_ends_what_is_in_flight(start):
    server = start("--workers", "2")
    body = json.dumps(PROMPT).encode()
    head = f"POST /v1/route HTTP/1.1\r\nhost: 127.0.0.1\r\nexpect: 100-continue\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30.0) as in_flight:
        in_flight.sendall(head.encode())
        assert in_flight.recv(1000).startswith(b"HTTP/1.1 100")  # a worker has it, and waits for its body
        server.process.terminate()
        deadline = time.monotonic() + 20.0  # within `serving.drain_s`
        while _takes_connections(server.port):
            assert time.monotonic() < deadline, "connections are taken that nobody will answer"
            time.sleep(0.1)
        in_flight.sendall(body)
        assert in_flight.recv(1000).startswith(b"HTTP/1.1 200")
    assert server.process.wait(30.0) == 0


def _takes_connections(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5.0).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.slow
def test_workers_end_when_their_supervisor_is_killed(start):
    server = start("--workers", "2")
    workers = server.workers()
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline and any(_runs(pid) for pid in workers):
        time.sleep(0.1)
    assert not any(_runs(pid) for pid in workers)


@pytest.mark.slow
def test_what_a_worker_starts_does_not_hold_the_port(start):
    server = start(BEAST_SERVING__COMPACT_S="0.5")
    (worker,) = server.workers()
    deadline = time.monotonic() + 30.0
    while len(server.pids()) <= 2:
        assert time.monotonic() < deadline, "no compaction was started"
    time.sleep(0.2)  # it is the program now, no longer the worker's copy that starts it
    assert server.workers() == [worker]


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_it_runs_without_what_training_needs(start):
    server = start()
    ask(server)
    for pid in server.workers():
        mapped = Path(f"/proc/{pid}/maps").read_text()
        assert "numpy" in mapped
        for library in ("torch", "pandas", "pyarrow", "sklearn", "lightgbm", "scipy", "jiter"):
            assert f"/{library}/" not in mapped


def test_a_port_that_is_taken_is_said(start, beast, router_folder):
    server = start()
    again = subprocess.run(
        [*COMMAND, "--router", str(router_folder), "--port", str(server.port), "--state", "elsewhere"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 2
    assert "cannot listen at 127.0.0.1" in again.stderr


def test_the_network_is_not_served_without_keys(tmp_path, router_folder):
    command = [*COMMAND, "--router", router_folder, "--host", "0.0.0.0", "--state", "s"]  # noqa: S104  it is refused
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ended.returncode == 2
    assert "no API key was made" in ended.stderr


def test_a_bundle_that_is_not_there_is_said(tmp_path):
    done = subprocess.run(
        [*COMMAND, "--router", "nowhere", "--port", str(free_port()), "--state", str(tmp_path / "s")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.returncode == 2
    assert "no bundle folder nowhere" in done.stderr
