import json
import shutil
from pathlib import Path

import pytest

from beast_ml.bundle.manifest import verify
from beast_ml.errors import BundleIntegrityError, InputError, RegistryError, RegistryUnavailableError
from beast_ml.registry import resolve as resolving
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.connection import connect
from beast_ml.registry.resolve import main, resolve, resolve_version
from beast_ml.registry.resolve_child import resolve_in_child


def stored_bundle(config):
    (manifest,) = config.artifacts.rglob("bundle/manifest.json")
    return manifest.parent


def test_a_version_becomes_a_verified_folder_named_by_its_digest(config, register, tmp_path):
    router = register("a")
    folder = resolve(router.uri, config, tmp_path / "cache")
    assert verify(folder).digest == folder.name
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [folder.name]


def test_an_alias_is_followed_and_the_cache_used(config, register, tmp_path):
    router = register("a")
    connect(config).set_registered_model_alias("beast-router", "champion", str(router.version))
    first = resolve_version("models:/beast-router@champion", config, tmp_path)
    assert first.version == router.version
    shutil.rmtree(config.artifacts)  # not needed any more
    assert resolve_version("models:/beast-router@champion", config, tmp_path) == first


def test_a_cached_bundle_that_was_tampered_with_is_replaced(config, register, flip, tmp_path):
    router = register("a")
    folder = resolve(router.uri, config, tmp_path / "cache")
    flip(folder)
    assert verify(resolve(router.uri, config, tmp_path / "cache")).digest == folder.name
    assert len(list((tmp_path / "cache").glob("[!.]*"))) == 1


def test_a_bundle_that_was_tampered_with_in_the_registry_is_refused(config, register, flip, tmp_path):
    router = register("a")
    flip(stored_bundle(config))
    with pytest.raises(BundleIntegrityError):
        resolve(router.uri, config, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_another_whole_bundle_in_its_place_is_refused(config, register, make_bundle, tmp_path):
    router = register("a")
    stored = stored_bundle(config)
    shutil.rmtree(stored)
    shutil.copytree(make_bundle("b"), stored)
    with pytest.raises(BundleIntegrityError, match=r"version 1 holds a bundle with digest .* its files were replaced"):
        resolve(router.uri, config, tmp_path / "cache")


@pytest.mark.parametrize(
    ("uri", "advice"),
    [
        ("models:/beast-router@champion", "`beast promote` sets 'champion'"),
        ("models:/beast-router@shadow", "look in `beast ui`"),
        ("models:/beast-router/99", "look in `beast ui`"),
        ("models:/beast-oracle/1", "look in `beast ui`"),
    ],
)
def test_what_is_not_there_is_named_with_advice(config, register, tmp_path, uri, advice):
    register("a")
    with pytest.raises(RegistryError, match=advice) as caught:
        resolve(uri, config, tmp_path)
    assert uri in str(caught.value)


def test_a_part_is_no_router(config, register, tmp_path):
    register("a")
    with pytest.raises(RegistryError, match="is not a router bundle"):
        resolve("models:/beast-quality/1", config, tmp_path)


def test_a_malformed_address_is_refused_before_the_store_is_touched(tmp_path):
    with pytest.raises(InputError):
        resolve("champion", TrackingConfig("http://127.0.0.1:1"), tmp_path)


def test_the_child_process_gives_the_same_folder(config, register, tmp_path):
    router = register("a")
    assert resolve_in_child(router.uri, config, tmp_path) == resolve(router.uri, config, tmp_path)


def test_the_command_prints_json_and_its_exit_code_says_what_went_wrong(
    config, register, flip, tmp_path, capsys, monkeypatch
):
    router = register("a")

    def run(uri, store=config.uri):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
        code = main([uri, "--cache-dir", str(tmp_path / "cache")])
        return code, json.loads(capsys.readouterr().out)

    code, answer = run(router.uri)
    assert code == 0
    assert answer["version"] == 1
    assert answer["path"].endswith(answer["digest"])
    assert run("champion")[0] == 2
    assert run("models:/beast-router/99")[0] == 3
    assert run(router.uri, "http://127.0.0.1:1")[0] == 4
    shutil.rmtree(tmp_path / "cache")
    flip(stored_bundle(config))
    code, answer = run(router.uri)
    assert (code, answer["error"]) == (5, "BundleIntegrityError")


def test_two_processes_that_download_at_once_share_one_folder(config, register, tmp_path, monkeypatch):
    router = register("a")
    rename = Path.rename

    def be_overtaken(self, target):
        if self.name == "bundle":
            shutil.copytree(self, target)  # another process moved the same bundle there first
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", be_overtaken)
    folder = resolve(router.uri, config, tmp_path / "cache")
    assert verify(folder).digest == folder.name


def test_a_cache_that_cannot_be_written_is_not_hidden(config, register, tmp_path, monkeypatch):
    router = register("a")

    def refuse(self, target):
        raise PermissionError("read-only")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError, match="read-only"):
        resolve(router.uri, config, tmp_path / "cache")


def test_a_store_lost_in_the_middle_is_not_an_absent_version(config, register, monkeypatch, tmp_path):
    router = register("a")
    known = connect(config)

    def connected_before(config):
        config.database.write_bytes(b"")
        return known

    monkeypatch.setattr(resolving, "connect", connected_before)
    with pytest.raises(RegistryUnavailableError):
        resolve(router.uri, config, tmp_path)
