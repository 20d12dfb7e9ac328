"""The watcher against real SQLite stores, mostly in process; `tests/integration/serving` runs it beside a runtime."""

import os
import subprocess
import sys
import time

import pytest

from beast_ml.bundle.manifest import verify
from beast_ml.errors import InputError, SettingsError
from beast_ml.registry import watch as watching
from beast_ml.registry.bundle_pointer import BundlePointer, PointerFolder, read_pointer, write_pointer
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.connection import connect
from beast_ml.registry.watch import Watched, Watcher
from beast_ml.registry.watch_child import watch_arguments, watch_environment

URI = "models:/beast-router@champion"
POLL_S = 5.0
PATIENCE_S = 120.0


class StandingClock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def files(tmp_path):
    return PointerFolder(tmp_path / "state")


@pytest.fixture
def clock():
    return StandingClock()


@pytest.fixture
def watcher(config, files, clock, tmp_path):
    watched = Watched(URI, files.pointer, config, tmp_path / "cache", POLL_S, files.followed, files.reload)
    return Watcher(watched, clock)


@pytest.fixture
def looks(watcher, monkeypatch):
    """Count looks; they still happen."""
    done, look = [], watcher.look

    def counted(uri, file):
        done.append(uri)
        return look(uri, file)

    monkeypatch.setattr(watcher, "look", counted)
    return done


def point_alias(config, version, alias="champion"):
    connect(config).set_registered_model_alias("beast-router", alias, str(version))


def test_an_alias_that_moves_moves_the_pointer(config, register, watcher, files, clock):
    register("a")
    register("b")
    point_alias(config, 1)
    watcher.tick()
    first = read_pointer(files.pointer)
    assert (first.uri, first.version, first.error) == (URI, 1, None)
    assert verify(files.state.parent / "cache" / first.digest).digest == first.digest

    clock.now += POLL_S
    watcher.tick()
    same = read_pointer(files.pointer)
    assert same.changed_at == first.changed_at
    assert same.checked_at > first.checked_at

    point_alias(config, 2)
    clock.now += POLL_S
    watcher.tick()
    second = read_pointer(files.pointer)
    assert second.version == 2
    assert second.changed_at > first.changed_at
    assert second.digest != first.digest


def test_between_looks_nothing_is_asked_unless_somebody_wants_it(config, register, watcher, files, clock, looks):
    register("a")
    point_alias(config, 1)
    for _ in range(3):
        watcher.tick()
    assert looks == [URI]
    files.reload.touch()
    watcher.tick()
    assert looks == [URI] * 2
    watcher.tick()
    assert looks == [URI] * 2
    clock.now += POLL_S
    watcher.tick()
    assert looks == [URI] * 3


def test_a_pointer_that_appears_asks_for_its_address(config, register, watcher, files):
    register("a")
    register("b")
    point_alias(config, 1)
    watcher.tick()
    challenger = files.followed / "challenger.json"
    write_pointer(challenger, BundlePointer("models:/beast-router@challenger"))
    point_alias(config, 2, "challenger")
    watcher.tick()
    assert read_pointer(challenger).version == 2
    assert read_pointer(files.pointer).version == 1


def test_an_alias_that_is_not_set_is_told_and_no_reason_to_look_less_often(config, register, watcher, files, clock):
    register("a")
    watcher.tick()
    pointer = read_pointer(files.pointer)
    assert (pointer.path, pointer.checked_at) == (None, None)
    assert "`beast promote` sets 'champion'" in pointer.error
    point_alias(config, 1)
    clock.now += POLL_S
    watcher.tick()
    assert read_pointer(files.pointer).version == 1


def test_a_store_that_goes_away_and_comes_back(config, register, watcher, files, clock, looks):
    register("a")
    point_alias(config, 1)
    watcher.tick()
    good = read_pointer(files.pointer)
    away = config.database.with_suffix(".away")
    config.database.rename(away)
    for _ in range(8):
        clock.now += POLL_S
        watcher.tick()
    lost = read_pointer(files.pointer)
    assert (lost.path, lost.digest, lost.checked_at) == (good.path, good.digest, good.checked_at)
    assert lost.tried_at > good.tried_at
    assert "there is no MLflow database" in lost.error
    assert not config.database.exists()  # none was made in its place
    assert len(looks) < 6  # less and less often, but at least every 15 s

    away.rename(config.database)
    clock.now += 15.0
    watcher.tick()
    back = read_pointer(files.pointer)
    assert (back.digest, back.error) == (good.digest, None)
    assert back.checked_at > lost.tried_at


def test_a_server_that_does_not_answer_is_told(files, tmp_path, clock):
    config = TrackingConfig("http://127.0.0.1:1")
    watcher = Watcher(
        Watched(URI, files.pointer, config, tmp_path / "cache", POLL_S, files.followed, files.reload), clock
    )
    watcher.tick()
    assert "does not answer" in read_pointer(files.pointer).error


def test_a_corrupt_bundle_in_the_registry_never_gets_behind_the_pointer(config, register, watcher, files, clock, flip):
    register("a")
    point_alias(config, 1)
    watcher.tick()
    good = read_pointer(files.pointer)
    register("b")
    point_alias(config, 2)
    for manifest in config.artifacts.rglob("bundle/manifest.json"):
        if verify(manifest.parent).digest != good.digest:
            flip(manifest.parent)
    clock.now += POLL_S
    watcher.tick()
    after = read_pointer(files.pointer)
    assert (after.version, after.digest, after.path) == (1, good.digest, good.path)
    assert "sha256" in after.error


def test_whatever_the_registry_does_is_told(config, register, watcher, files, monkeypatch):
    def breaks(*_):
        raise MemoryError("no memory left")

    register("a")
    monkeypatch.setattr(watching, "resolve_with", breaks)
    watcher.tick()
    assert "no memory left" in read_pointer(files.pointer).error


def test_bundles_that_were_replaced_are_deleted_and_those_with_an_alias_stay(config, register, watcher, files, clock):
    cache = watcher.watched.cache_dir
    for version, name in enumerate("ab", 1):
        register(name)
        point_alias(config, version)
        clock.now += POLL_S
        watcher.tick()
    point_alias(config, 1, "previous")
    previous = next(folder for folder in cache.glob("?" * 64) if folder.name != read_pointer(files.pointer).digest)
    for age, name in enumerate("12345", 10):
        (cache / (name * 64)).mkdir()
        (cache / (name * 64) / "manifest.json").touch()
        os.utime(cache / (name * 64), (age, age))
    os.utime(previous, (0, 0))
    clock.now += POLL_S
    watcher.tick()
    assert len(list(cache.glob("?" * 64))) == 7  # nothing has moved
    register("c")
    point_alias(config, 3)
    clock.now += POLL_S
    watcher.tick()
    kept = {folder.name for folder in cache.glob("?" * 64)}
    assert {previous.name, read_pointer(files.pointer).digest, "5" * 64} < kept
    assert not {name * 64 for name in "1234"} & kept


def test_a_disk_that_refuses_the_pointer_ends_nothing(config, register, watcher, files, clock):
    register("a")
    point_alias(config, 1)
    files.state.write_bytes(b"a file where the folder should be")
    watcher.tick()
    files.state.unlink()
    clock.now += 15.0
    watcher.tick()
    assert read_pointer(files.pointer).version == 1


@pytest.fixture
def start(config, files, tmp_path):
    """Start the watcher as serving does, in a process of its own: it ends itself, which no test's process may."""
    children = []

    def start(*program):
        arguments = watch_arguments(URI, files.state, poll_s=1.0, cache=tmp_path / "cache")
        command = [sys.executable, *(program or arguments[:2]), *arguments[2:]]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ | watch_environment(config.uri))
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.stdin.close()
        child.wait()


def until(seen):
    deadline = time.monotonic() + PATIENCE_S
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_command_ends_with_its_input(config, register, files, start):
    register("a")
    point_alias(config, 1)
    child = start()
    until(lambda: read_pointer(files.pointer))
    assert child.poll() is None
    child.stdin.close()
    assert child.wait(PATIENCE_S) == 0
    assert read_pointer(files.pointer).version == 1


LOOKS_FOREVER = """
import sys, time
from pathlib import Path
from beast_ml.registry import watch

def hang(watcher):
    watcher.watched.reload.with_name("hangs").touch()
    time.sleep(3600)

watch.Watcher.tick = hang
watch._LAST_WORDS_S = 0.1
sys.exit(watch.main())
"""


def test_a_look_that_hangs_does_not_keep_the_process(files, start):
    files.state.mkdir()
    child = start("-c", LOOKS_FOREVER)
    until((files.state / "hangs").exists)
    child.stdin.close()
    assert child.wait(PATIENCE_S) == 0


def test_arguments_name_files_that_the_child_finds_from_anywhere(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = watch_arguments(URI, files.state.relative_to(tmp_path), poll_s=0.5)
    assert arguments[:3] == ("-m", "beast_ml.registry.watch", URI)
    assert watch_environment("sqlite:///mlflow.db") == {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    assert str(tmp_path / "state" / "bundle.json") in arguments
    assert arguments[-1] == "0.5"


def test_arguments_that_could_not_be_followed_are_refused_at_once(files):
    with pytest.raises(InputError, match="is no address"):
        watch_arguments("champion", files.state)
    with pytest.raises(SettingsError, match=r"tracking\.uri"):
        watch_environment("mysql://x")


def test_who_starts_it_never_imports_mlflow():
    code = (
        "import sys, beast_ml.registry.watch_child, beast_ml.serving.runtime;"
        "sys.exit(','.join({'mlflow', 'pandas', 'torch', 'sklearn', 'scipy', 'lightgbm'} & set(sys.modules)) or 0)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (child.returncode, child.stderr) == (0, "")
