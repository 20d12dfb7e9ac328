"""Which bundles of the cache are kept, and which are deleted, whatever else goes on."""

import gc
import os
import subprocess
import sys
import time

import pytest

from beast_ml.bundle.manifest import MANIFEST
from beast_ml.registry import bundle_cache
from beast_ml.registry.bundle_cache import delete_unused, hold, mark_asked, remember_state
from beast_ml.registry.bundle_pointer import BundlePointer, PointerFolder, write_pointer

HOLDS = """
import sys
from pathlib import Path
from beast_ml.registry.bundle_cache import hold

class Router: ...

router = Router()
hold(Path(sys.argv[1]), router)
print("holds", flush=True)
sys.stdin.read()
"""


class Holder:
    pass


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def bundle(cache):
    """Make a bundle that was last asked for some hours ago."""

    def make(letter, hours=24.0):
        folder = cache / (letter * 64)
        folder.mkdir(parents=True)
        (folder / MANIFEST).write_text("{}")
        asked_s = time.time() - 3600.0 * hours
        os.utime(folder, (asked_s, asked_s))
        return folder

    return make


def left(cache):
    return "".join(sorted(each.name[0] for each in cache.iterdir() if not each.name.startswith(".")))


def test_the_last_few_stay_and_older_ones_go(cache, bundle):
    for hours, letter in enumerate("abcdef", 2):
        bundle(letter, hours)
    assert sorted(delete_unused(cache)) == [letter * 64 for letter in "def"]
    assert left(cache) == "abc"
    assert delete_unused(cache) == []


def test_what_was_asked_for_lately_stays(cache, bundle):
    for letter in "abcde":
        bundle(letter, 0.5)
    asked, _ = bundle("f"), bundle("1")
    mark_asked(asked)
    assert delete_unused(cache) == ["1" * 64]
    assert left(cache) == "abcdef"


def test_whatever_a_state_folder_points_at_stays_whether_or_not_it_is_in_use(cache, bundle, tmp_path):
    for letter in "abc":
        bundle(letter, 0.1)
    for letter in "12345":
        bundle(letter)
    files, other = PointerFolder(tmp_path / "state"), PointerFolder(tmp_path / "other")
    for file, letter in (
        (files.pointer, "1"),
        (files.served, "2"),
        (files.followed / "challenger.json", "3"),
        (other.pointer, "4"),
    ):
        write_pointer(file, BundlePointer("models:/beast-router@champion", digest=letter * 64), durable=False)
    for state in (files.state, other.state, files.state):
        remember_state(cache, state)
    assert delete_unused(cache) == ["5" * 64]
    other.pointer.unlink()
    other.state.rmdir()
    assert delete_unused(cache, keep=["9" * 64]) == ["4" * 64]
    assert left(cache) == "123abc"


def test_what_the_caller_names_stays(cache, bundle):
    for letter in "abcde":
        bundle(letter)
    for letter in "123":
        bundle(letter, 0.1)
    assert sorted(delete_unused(cache, keep=["a" * 64, "e" * 64])) == [letter * 64 for letter in "bcd"]


def test_what_a_process_uses_stays_until_it_ends(cache, bundle):
    for letter in "123":
        bundle(letter, 0.1)
    used = bundle("a")
    child = subprocess.Popen([sys.executable, "-c", HOLDS, str(used)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with child:
        assert child.stdout.readline() == b"holds\n"
        assert delete_unused(cache) == []
        child.kill()
    assert delete_unused(cache) == ["a" * 64]


def test_what_an_object_holds_stays_until_it_is_let_go(cache, bundle):
    for letter in "123":
        bundle(letter, 0.1)
    one, other = Holder(), Holder()
    used = bundle("a")
    hold(used, one)
    hold(used, other)
    del one
    gc.collect()
    assert delete_unused(cache) == []
    del other
    gc.collect()
    assert delete_unused(cache) == ["a" * 64]
    hold(used, Holder())  # it is not there any more


def test_a_deletion_that_breaks_off_leaves_no_half_bundle_and_is_ended_by_the_next(cache, bundle, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    for letter in "123":
        bundle(letter, 0.1)
    bundle("a")
    with monkeypatch.context() as patched:
        patched.setattr(bundle_cache.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            delete_unused(cache)
    assert left(cache) == "123"
    assert list(cache.glob(".outgoing-*"))
    assert delete_unused(cache) == []
    assert not list(cache.glob(".outgoing-*"))


def test_downloads_that_broke_off_go_and_those_under_way_stay(cache, bundle):
    bundle("a")
    for name, hours in ((".incoming-old", 30.0), (".incoming-new", 0.1)):
        (cache / name).mkdir()
        began_s = time.time() - 3600.0 * hours
        os.utime(cache / name, (began_s, began_s))
    delete_unused(cache)
    assert not (cache / ".incoming-old").exists()
    assert (cache / ".incoming-new").exists()


def test_what_is_no_bundle_is_left_alone(cache, bundle):
    for letter in "123":
        bundle(letter, 0.1)
    (cache / "notes").mkdir()
    os.utime(cache / "notes", (0, 0))
    damaged = bundle("a")
    (damaged / MANIFEST).unlink()
    os.utime(damaged, (0, 0))
    assert delete_unused(cache) == ["a" * 64]
    assert (cache / "notes").is_dir()


def test_without_a_cache_there_is_nothing_to_do(cache):
    assert delete_unused(cache) == []
    mark_asked(cache / ("a" * 64))
    assert not cache.exists()
