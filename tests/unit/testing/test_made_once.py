import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from beast_ml.testing import made_once as module
from beast_ml.testing.made_once import made_once


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Keep what is made here apart from what other tests need."""
    monkeypatch.setenv("BEAST_CACHE_DIR", str(tmp_path / "cache"))
    module._root.cache_clear()
    yield tmp_path / "cache" / "made-for-tests"
    module._root.cache_clear()


def never(folder):
    pytest.fail("made again")


def make(folder: Path, said: str = "made") -> None:
    folder.mkdir()
    (folder / "file").write_text(said)


def test_what_was_made_is_not_made_again_and_who_damages_a_copy_harms_no_other(tmp_path):
    first = made_once("thing", make, tmp_path / "first")
    (first / "file").write_text("damaged")
    second = made_once("thing", never, tmp_path / "second")
    assert (second / "file").read_text() == "made"
    assert made_once("other", lambda folder: make(folder, "another"), tmp_path / "third") == tmp_path / "third"
    assert (tmp_path / "third" / "file").read_text() == "another"


def test_other_code_makes_its_own_and_what_was_not_used_for_longest_goes(tmp_path, cache, monkeypatch):
    made_once("thing", make, tmp_path / "first")
    [of_this_code] = cache.iterdir()
    monkeypatch.setattr(module, "code_digest", lambda: "of other code")
    module._root.cache_clear()
    other = made_once("thing", lambda folder: make(folder, "by other code"), tmp_path / "second")
    assert (other / "file").read_text() == "by other code"
    assert of_this_code.is_dir()
    for i in range(module._KEPT - 1):
        (cache / f"of more code {i}").mkdir()
    os.utime(of_this_code, (0, 0))
    module._root.cache_clear()
    made_once("thing", never, tmp_path / "third")
    assert not of_this_code.exists()
    assert len(list(cache.iterdir())) == module._KEPT


def test_what_fails_is_made_by_the_next_who_asks(tmp_path):
    def fail(folder: Path) -> None:
        make(folder, "half")
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        made_once("thing", fail, tmp_path / "first")
    assert not (tmp_path / "first").exists()
    assert (made_once("thing", make, tmp_path / "second") / "file").read_text() == "made"


def test_of_those_who_ask_at_once_one_makes_and_the_others_wait(tmp_path):
    made = []

    def make_slowly(folder: Path) -> None:
        made.append(folder)
        make(folder)
        time.sleep(0.1)

    # Each opens the lock for itself, so they stand in each other's way as processes do.
    with ThreadPoolExecutor(3) as threads:
        copies = list(threads.map(lambda i: made_once("thing", make_slowly, tmp_path / f"copy-{i}"), range(3)))
    assert len(made) == 1
    assert [(copy / "file").read_text() for copy in copies] == ["made"] * 3
