"""`beast experiment` against a server that has not loaded what an experiment goes by."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import msgspec
import pytest

from beast_ml.cli import experiment as commands
from beast_ml.experiments.changes import ExperimentChange
from beast_ml.experiments.experiments_file import Experiments


@pytest.fixture
def server(monkeypatch):
    """Return the address of a server of experiments, and the routers that it follows."""
    monkeypatch.setattr(commands, "_LOADS_S", 0.0)
    followed = {"challenger": "digest", "challenger-zz": None}
    kept = [Experiments()]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self._answer({"ready": True, "router": {"followed": followed}} if self.path == "/readyz" else kept[0])

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            change = msgspec.json.decode(body, type=ExperimentChange)
            kept[0] = kept[0].put(change.applied_to(kept[0].get(change.id)))
            self._answer(kept[0])

        def _answer(self, value):
            content = msgspec.json.encode(value)
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", followed
        running.shutdown()
        thread.join()


def test_a_policy_that_the_server_has_not_loaded_is_told_when_created_and_when_listed(beast, server):
    url, followed = server
    where = ("--url", url, "--key", "admin")
    code, printed, said = beast("experiment", "create", "typo", "--variant", "new=challenger-zz:0.5", *where, "--json")
    assert code == 0, said
    assert json.loads(printed)[0]["status"] == "running"
    warned = "no router behind the alias 'challenger-zz' of experiment 'typo'"
    assert warned in " ".join(said.split())
    assert warned in " ".join(beast("experiment", "status", *where)[2].split())
    followed["challenger-zz"] = "loaded by now"
    assert "warning" not in beast("experiment", "status", *where)[2]


def test_a_policy_that_is_loaded_and_a_stopped_experiment_are_no_matter(beast, server):
    url, followed = server
    where = ("--url", url, "--key", "admin")
    _, _, said = beast("experiment", "create", "fine", "--variant", "new=challenger:0.5", *where)
    assert "warning" not in said
    beast("experiment", "stop", "fine", *where)
    followed["challenger"] = None
    assert "warning" not in beast("experiment", "status", *where)[2]
