import socket

import pytest

from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.ui import ui_server
from beast_ml.testing.registry_fixtures import (  # noqa: F401 - fixtures are used by name
    make_bundle,
    small_bundle,
)


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def store(tmp_path):
    """Return the SQLite store that the server keeps."""
    return TrackingConfig(f"sqlite:///{tmp_path}/server/mlflow.db", tmp_path / "server" / "artifacts")


@pytest.fixture
def server(store, free_port):
    """Start a real MLflow server and return the configuration of its clients."""
    store.database.parent.mkdir(parents=True)
    with ui_server(store, free_port) as running:
        yield TrackingConfig(running.url, experiment="over http")
