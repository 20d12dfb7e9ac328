import shutil

import pytest

from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.connection import connect


@pytest.fixture(scope="session")
def migrated_store(tmp_path_factory):
    """Path of an empty SQLite store whose tables exist: creating them costs seconds, copying them nothing."""
    config = TrackingConfig(f"sqlite:///{tmp_path_factory.mktemp('template')}/mlflow.db")
    connect(config)
    return config.database


@pytest.fixture
def config(tmp_path, migrated_store):
    """Return an empty store of the test's own."""
    database = tmp_path / "mlflow.db"
    shutil.copyfile(migrated_store, database)
    return TrackingConfig(f"sqlite:///{database}", tmp_path / "artifacts")
