import http.server
import json
import os
import socket
import sys
import threading
import time

import pytest

from beast_ml.errors import InputError, MissingExtraError, RegistryUnavailableError
from beast_ml.registry import ui
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.ui import training_page, ui_server


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def program(monkeypatch, tmp_path):
    """Let another program stand in for `python -m mlflow`."""

    def behaves(code):
        path = tmp_path / "program"
        path.write_text(f"#!{sys.executable}\nimport sys\n{code}\n")
        path.chmod(0o755)
        monkeypatch.setattr(ui.sys, "executable", str(path))

    return behaves


@pytest.fixture
def answering():
    """Start an HTTP server that gives one answer to everything."""
    servers = []

    def start(status, document):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(document.encode())

            def log_message(self, *arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


HEALTHY = """
import http.server, os, subprocess
port = int(sys.argv[sys.argv.index("--port") + 1])
worker = subprocess.Popen(["sleep", "60"])
open(os.environ["PIDS"], "w").write(f"{os.getpid()} {worker.pid}")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *arguments): pass
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123 - a process, not a file
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_server_and_its_workers_end_with_the_block(program, config, free_port, tmp_path, monkeypatch):
    monkeypatch.setenv("PIDS", str(tmp_path / "pids"))
    program(HEALTHY)
    with ui_server(config, free_port) as server:
        assert server.url == f"http://127.0.0.1:{free_port}"
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        assert all(is_running(pid) for pid in pids)
    for _ in range(100):
        if not any(is_running(pid) for pid in pids):
            break
        time.sleep(0.05)
    assert not any(is_running(pid) for pid in pids)


def test_a_server_that_ends_by_itself_is_waited_for(program, config, free_port, tmp_path, monkeypatch):
    monkeypatch.setenv("PIDS", str(tmp_path / "pids"))
    program(HEALTHY.replace(".serve_forever()", ".handle_request()"))
    with ui_server(config, free_port) as server:
        assert server.wait() == 0


def test_a_server_that_does_not_start_says_its_last_words(program, config, free_port):
    program("print('the disk is full', file=sys.stderr); sys.exit(3)")
    with (
        pytest.raises(RegistryUnavailableError, match=r"did not start, it ended with code 3: the disk is full"),
        ui_server(config, free_port),
    ):
        pass


def test_a_server_that_never_answers_is_given_up(program, config, free_port, monkeypatch):
    monkeypatch.setattr(ui, "_PATIENCE_S", 0.5)
    program("import time; time.sleep(60)")
    with (
        pytest.raises(RegistryUnavailableError, match=r"did not answer within 0\.5 s: it printed nothing"),
        ui_server(config, free_port),
    ):
        pass


def test_a_port_in_use_is_the_users_to_change(config):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} cannot be listened on .*--port"), ui_server(config, port):
            pass


def test_a_server_has_its_own_ui():
    with pytest.raises(InputError, match="has a UI already"), ui_server(TrackingConfig("http://mlflow.example"), 5000):
        pass


def test_without_mlflow_the_extra_is_named(config, monkeypatch):
    monkeypatch.setattr(ui.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"beast-ml\[train\]"), ui_server(config, 5000):
        pass


def test_the_page_is_that_of_the_experiment_in_the_training_view(answering):
    url = answering(200, json.dumps({"experiment": {"experiment_id": "7"}}))
    assert training_page(url, "beast-ml") == f"{url}/#/experiments/7/runs?workflowType=machine_learning"


def test_before_the_first_training_it_is_the_list_of_experiments(answering):
    url = answering(404, "{}")
    assert training_page(url, "beast-ml") == f"{url}/#/experiments?workflowType=machine_learning"


def test_what_is_no_mlflow_server_is_unavailable(answering):
    for url in (answering(200, "<html>"), answering(200, "{}"), "http://127.0.0.1:1"):
        with pytest.raises(RegistryUnavailableError, match="does not answer"):
            training_page(url, "beast-ml")


def test_the_operators_own_variables_win(program, config, free_port, tmp_path, monkeypatch):
    seen = tmp_path / "seen"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    program(f"import os; open({str(seen)!r}, 'w').write(repr(dict(os.environ))); sys.exit(1)")
    with pytest.raises(RegistryUnavailableError), ui_server(config, free_port):
        pass
    environment = seen.read_text()
    assert "'MLFLOW_HTTP_REQUEST_TIMEOUT': '7'" in environment
    assert f"'MLFLOW_DISABLE_TELEMETRY': '{os.environ.get('MLFLOW_DISABLE_TELEMETRY', 'true')}'" in environment
