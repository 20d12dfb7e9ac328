import http.server
import threading
import time

import pytest
import requests
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from sqlalchemy.exc import OperationalError

from beast_ml.errors import RegistryError, RegistryUnavailableError
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.connection import connect, experiment_id, translated
from beast_ml.registry.quiet_mlflow import mlflow


@pytest.fixture
def answering():
    """Start HTTP servers that answer every request with a given status."""
    servers = []

    def start(status):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.end_headers()

            def do_POST(self):
                self.do_GET()

            def log_message(self, *arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return TrackingConfig(f"http://127.0.0.1:{server.server_port}")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_refused_connection_says_what_to_do():
    with pytest.raises(RegistryUnavailableError, match=r"127\.0\.0\.1:1 does not answer .*start it"):
        connect(TrackingConfig("http://127.0.0.1:1"))


@pytest.mark.parametrize("status", [404, 500, 503])
def test_what_answers_but_is_no_healthy_server_is_unavailable(answering, status):
    with pytest.raises(RegistryUnavailableError, match=f"HTTP status {status}"):
        connect(answering(status))


def test_a_server_that_refuses_is_not_called_unavailable(answering):
    with pytest.raises(RegistryError, match="refused") as caught:
        connect(answering(403))
    assert not isinstance(caught.value, RegistryUnavailableError)


def test_file_that_is_no_database_is_named(tmp_path):
    path = tmp_path / "notes.db"
    path.write_text("these are notes, not tables, and they stay as they are\n" * 100)
    with pytest.raises(RegistryUnavailableError, match=r"notes\.db cannot be used .*file is not a database"):
        connect(TrackingConfig(f"sqlite:///{path}"))
    assert path.read_text().startswith("these are notes")


def test_database_below_a_file_is_unavailable(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RegistryUnavailableError, match="cannot be used"):
        connect(TrackingConfig(f"sqlite:///{tmp_path}/file/deeper/mlflow.db"))


def test_experiment_is_created_once_with_its_artifacts_in_place(config):
    client = connect(config)
    first = experiment_id(client, config)
    assert experiment_id(client, config) == first
    experiment = client.get_experiment(first)
    assert experiment.artifact_location == config.artifacts.as_uri()
    assert "verdict" in experiment.tags["mlflow.note.content"]


def test_deleted_experiment_is_explained(config):
    client = connect(config)
    client.delete_experiment(experiment_id(client, config))
    with pytest.raises(RegistryError, match="was deleted in MLflow: restore it"):
        experiment_id(client, config)


def test_an_answer_of_no_is_a_registry_error(config):
    client = connect(config)
    with pytest.raises(RegistryError, match="refused") as caught, translated(config):
        client.get_run("0" * 32)
    assert not isinstance(caught.value, RegistryUnavailableError)


def test_a_lost_database_is_unavailable(config):
    client = connect(config)
    config.database.write_bytes(b"")
    with pytest.raises(RegistryUnavailableError, match="no such table"), translated(config):
        client.search_experiments()


def test_an_experiment_that_another_process_makes_first_is_used(config, monkeypatch):
    client = connect(config)
    create = client.create_experiment

    def be_overtaken(name, **named):
        create(name)
        return create(name, **named)

    monkeypatch.setattr(client, "create_experiment", be_overtaken)
    assert client.get_experiment(experiment_id(client, config)).name == config.experiment


def test_an_experiment_name_that_mlflow_refuses_is_an_answer_of_no(config):
    config = TrackingConfig(config.uri, config.artifacts, experiment="x" * 600)
    with pytest.raises(RegistryError, match="refused"):
        experiment_id(connect(config), config)


def test_a_store_that_calls_itself_busy_is_unavailable(config):
    with pytest.raises(RegistryUnavailableError, match="come back"), translated(config):
        raise mlflow.exceptions.MlflowException("come back", error_code=TEMPORARILY_UNAVAILABLE)


@pytest.mark.parametrize("error", [requests.ConnectTimeout("too late"), OperationalError("locked", None, Exception())])
def test_what_artifact_clients_and_databases_let_out_is_unavailable(config, error):
    with pytest.raises(RegistryUnavailableError, match="cannot be used"), translated(config):
        raise error


def test_a_new_database_is_made_by_one_at_a_time(tmp_path, monkeypatch):
    within, most = [], []

    class SlowClient:
        def __init__(self, **_):
            pass

        def search_experiments(self, **_):
            within.append(threading.current_thread())
            most.append(len(within))
            time.sleep(0.05)
            within.remove(threading.current_thread())

    monkeypatch.setattr(mlflow, "MlflowClient", SlowClient)
    config = TrackingConfig(f"sqlite:///{tmp_path}/new/mlflow.db", tmp_path / "artifacts")
    threads = [threading.Thread(target=connect, args=(config,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


def test_whoever_may_only_read_a_database_connects(tmp_path, monkeypatch):
    connect(config := TrackingConfig(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts"))

    def refuse(*_, **__):
        raise PermissionError

    monkeypatch.setattr("beast_ml.registry.connection.file_lock", refuse)
    assert connect(config).search_experiments()
