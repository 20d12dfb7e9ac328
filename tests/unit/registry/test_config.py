from pathlib import Path

import pytest

from beast_ml.errors import SettingsError
from beast_ml.registry.config import TrackingConfig, default_cache_dir


def test_relative_places_are_made_absolute_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = TrackingConfig("sqlite:///runs/mlflow.db", Path("files"))
    assert config.uri == f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert config.database == tmp_path / "runs/mlflow.db"
    assert config.artifacts == tmp_path / "files"


def test_absolute_database_stays_where_it_is(tmp_path):
    config = TrackingConfig(f"sqlite:///{tmp_path}/m.db")
    assert config.database == tmp_path / "m.db"
    assert TrackingConfig(config.uri).uri == config.uri


@pytest.mark.parametrize("uri", ["http://mlflow.example:5000/", "https://mlflow.example/team"])
def test_server_has_no_database(uri):
    config = TrackingConfig(uri)
    assert config.is_server
    assert config.database is None
    assert config.uri == uri.rstrip("/")


@pytest.mark.parametrize(
    "uri", ["", "mlruns", "file:///tmp/mlruns", "sqlite:///", "http://", "databricks", "postgresql://host/db"]
)
def test_other_stores_are_refused_with_what_is_allowed(uri):
    with pytest.raises(SettingsError, match=r"must be sqlite:///FILE or http"):
        TrackingConfig(uri)


def test_passwords_are_not_shown():
    config = TrackingConfig("https://ann:p@ss@mlflow.example/team")
    assert config.uri == "https://ann:p@ss@mlflow.example/team"
    assert config.shown == "https://mlflow.example/team"
    assert TrackingConfig("sqlite:////a@b/c.db").shown == "sqlite:////a@b/c.db"
    with pytest.raises(SettingsError) as caught:
        TrackingConfig("postgresql://ann:secret@host/db")
    assert "'postgresql://host/db'" in str(caught.value)


def test_experiment_needs_a_name():
    with pytest.raises(SettingsError, match=r"tracking\.experiment"):
        TrackingConfig(experiment=" ")


def test_bundles_are_cached_where_the_operator_says_else_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("BEAST_CACHE_DIR", str(tmp_path))
    assert default_cache_dir() == tmp_path / "bundles"
    monkeypatch.delenv("BEAST_CACHE_DIR")
    assert default_cache_dir().parent.name == "beast-ml"
