from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from beast_ml.cache.tiers.sql import SqlTier
from beast_ml.errors import DataError, InputError, UnavailableError
from beast_ml.logs.forgotten import FORGOTTEN_FILE, Named, remember_forgotten
from beast_ml.logs.segments import SegmentWriter
from beast_ml.logs.store import LogStore
from beast_ml.operations.backup.folder import backups_in, find_backup, locked
from beast_ml.operations.backup.manifest import MANIFEST, read_manifest
from beast_ml.operations.backup.places import Places
from beast_ml.operations.backup.restore import restore
from beast_ml.operations.backup.take import known_folders, take_backup
from beast_ml.operations.budgets.sql_ledger import SqlLedger
from beast_ml.operations.keys.store import KeyStore
from beast_ml.registry.bundle_pointer import PointerFolder, read_pointer
from beast_ml.testing.clock import FakeClock
from beast_ml.testing.deployments import append_request, make_deployment, places_of, spend

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "server"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def places(root: Path) -> Places:
    return make_deployment(root)


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return tmp_path / "restored"


def spent(state: Path) -> dict[str, tuple[int, int, int]]:
    ledger = SqlLedger.open(f"sqlite:///{state / 'state.db'}")
    found = {each.window: (each.settled, each.lost, each.leased) for each in ledger.accounts(ended=True)}
    ledger.close()
    return found


def ids(root: Path) -> set[str]:
    return set(LogStore(root / "data/logs").requests(["request_id"])["request_id"].to_pylist())


def test_all_parts_come_back_at_a_new_place(
    root: Path, places: Places, parent: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(KeyStore.open(places.state)) as keys:
        made = keys.list()
    with SegmentWriter(places.state / "segments") as writer:
        append_request(writer, "open")
        with next((places.state / "segments").glob("*.open.jsonl")).open("ab") as file:
            file.write(b'{"table": "requests", "half')
        done = take_backup(places, parent)
    monkeypatch.chdir(parent)
    shutil.rmtree(root)
    restored = restore(parent, new)
    assert restored.n_files == done.n_files
    assert restored.n_requests == 7
    assert ids(new) == {*(f"stored-{i}" for i in range(5)), "segment-1", "open"}
    assert not list((new / "data/quarantine").glob("*"))  # the half row was no row
    state = new / "data/serving"
    with closing(KeyStore.open(state)) as keys:
        assert keys.list() == made
    for name in ("secret", "admin.key"):
        assert (state / name).read_text() == f"the {name}"
        assert (state / name).stat().st_mode & 0o777 == 0o600
    assert (state / "state.db").stat().st_mode & 0o777 == 0o600
    assert not (state / "metrics").exists()
    tier = SqlTier.open(f"sqlite:///{state / 'cache.db'}")
    assert {entry.entry_id for entry in tier.scan()} == {"of-acme", "of-other"}
    tier.close()
    assert (new / "data/learning/loop.json").read_text() == "{}"
    assert (new / "mlflow.yaml").read_text() == "serving: {workers: 1}\n"
    assert (new / "mlartifacts/model.txt").read_text() == "weights"
    with closing(sqlite3.connect(new / "mlflow.db")) as connection:
        uris = [uri for (uri,) in connection.execute("SELECT artifact_uri FROM runs")]
    assert uris == [f"file://{new}/mlartifacts/run", f"{new}/mlartifacts/run", f"{root}/mlartifacts-other"]
    pointer = read_pointer(PointerFolder(state).pointer)
    assert pointer is not None
    assert pointer.path is not None
    assert Path(pointer.path).is_relative_to(new)
    assert (Path(pointer.path) / "manifest.json").is_file()
    assert not list(new.parent.glob(".restored*"))


def test_a_backup_is_read_by_its_owner_only(places: Places, parent: Path) -> None:
    folder = take_backup(places, parent).folder
    assert folder.stat().st_mode & 0o777 == 0o700
    assert read_manifest(folder).files["state/secret"].mode == 0o600
    assert (folder / "state/secret").stat().st_mode & 0o777 == 0o600


def test_equal_files_are_linked_and_old_backups_pruned(places: Places, parent: Path) -> None:
    first = take_backup(places, parent)
    (places.state / "experiments.json").write_text('{"experiments": [1]}')
    second = take_backup(places, parent)
    assert not first.n_linked
    same = [name for name in read_manifest(second.folder).files if name.startswith(("logs/", "registry/artifacts"))]
    for name in same:
        assert (first.folder / name).samefile(second.folder / name)
    assert second.n_linked >= len(same) > 0
    assert not (first.folder / "state/experiments.json").samefile(second.folder / "state/experiments.json")
    third = take_backup(places, parent, keep=2)
    assert third.pruned == (first.folder.name,)
    assert backups_in(parent) == [second.folder, third.folder]
    restore(second.folder, parent.with_name("of the second"))


def test_what_was_damaged_in_an_earlier_backup_is_not_linked(places: Places, parent: Path) -> None:
    first = take_backup(places, parent)
    name = next(name for name in read_manifest(first.folder).files if name.startswith("logs/"))
    content = (first.folder / name).read_bytes()
    (first.folder / name).write_bytes(b"X" + content[1:])
    second = take_backup(places, parent)
    assert (second.folder / name).read_bytes() == content


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "manifest"])
def test_a_damaged_backup_is_refused_with_what_is_wrong(places: Places, parent: Path, new: Path, damage: str) -> None:
    folder = take_backup(places, parent).folder
    victim = folder / (MANIFEST if damage == "manifest" else "state/secret")
    content = victim.read_bytes()
    if damage == "remove":
        victim.unlink()
    elif damage == "manifest":
        victim.write_bytes(content.replace(b'"size": 10', b'"size": 11', 1))
    else:
        victim.write_bytes(content[:-1] if damage == "cut" else b"X" + content[1:])
    with pytest.raises(DataError, match="digest" if damage == "manifest" else "state/secret"):
        restore(folder, new)
    assert not new.exists()
    assert not list(new.parent.glob(".restored*"))


def test_a_manifest_that_names_files_outside_is_refused(places: Places, parent: Path, new: Path) -> None:
    folder = take_backup(places, parent).folder
    manifest = read_manifest(folder)
    manifest.files["../escaped"] = next(iter(manifest.files.values()))
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest.signed()))
    with pytest.raises(DataError, match="not within"):
        restore(folder, new)


def test_nothing_is_overwritten_without_being_told(places: Places, parent: Path, new: Path) -> None:
    take_backup(places, parent)
    new.mkdir()
    (new / "mine").write_text("precious")
    with pytest.raises(InputError, match="not empty"):
        restore(parent, new)
    restore(parent, new, replace=True)
    (aside,) = new.parent.glob("restored.replaced-*")
    assert (aside / "mine").read_text() == "precious"
    assert (new / "data/serving/secret").exists()


def test_a_budget_never_has_more_left_than_was_left(places: Places, parent: Path, new: Path) -> None:
    """The log knows of 0.9 dollars on a day of which the ledger knows 0.1, and leases of another day are spent."""
    with SegmentWriter(places.state / "segments") as writer:
        append_request(writer, "dear", cost_usd=0.8)
        untold = {"cost_usd": None, "predicted_cost_usd": 0.049, "status": "cancelled", "error_kind": "unreported"}
        append_request(writer, "untold", **untold)
        append_request(writer, "long ago", received_at="2025-01-01T00:00:00Z", feedback_at=None)
    spend(f"sqlite:///{places.state / 'state.db'}", 5 * 10**8, NOON + timedelta(days=1), lease_nano=10**8)
    assert spent(places.state)["2026-03-02"] == (5 * 10**8, 0, 10**8)
    take_backup(places, parent)
    assert restore(parent, new).n_raised == 2
    assert spent(new / "data/serving") == {"2026-03-01": (900_000_000, 0, 0), "2026-03-02": (5 * 10**8, 10**8, 0)}


def test_a_time_between_two_backups_has_the_log_until_then(places: Places, parent: Path, new: Path) -> None:
    clock = FakeClock(NOON)
    take_backup(places, parent, clock=clock)
    (places.state / "experiments.json").write_text("later")
    with SegmentWriter(places.state / "segments") as writer:
        append_request(writer, "before", received_at="2026-03-01T12:10:00Z", feedback_at="2026-03-01T12:11:00Z")
        append_request(writer, "after", received_at="2026-03-01T12:50:00Z", cost_usd=0.7)
    clock.advance(3600)
    second = take_backup(places, parent, clock=clock)
    done = restore(parent, new, at=NOON + timedelta(minutes=30))
    assert done.made_at == NOON
    assert done.log_of == second.folder.name
    assert done.n_cut == 1
    assert ids(new) == {*(f"stored-{i}" for i in range(5)), "segment-1", "before"}
    assert (new / "data/serving/experiments.json").read_text() == '{"experiments": []}'
    assert spent(new / "data/serving")["2026-03-01"][0] == 752_000_000  # also what was spent after the time
    with pytest.raises(InputError, match="or before"):
        restore(parent, new.with_name("x"), at=NOON - timedelta(days=1))
    with pytest.raises(InputError, match="made after"):
        find_backup(second.folder, NOON)
    late = restore(parent, new.with_name("y"), at=NOON + timedelta(days=9))
    assert any("no later backup" in note for note in late.notes)


def test_forgotten_texts_do_not_come_back(places: Places, parent: Path, new: Path) -> None:
    backup = take_backup(places, parent)
    assert known_folders(places.state) == [parent]
    assert any(b"acme" in file.read_bytes() for file in backup.folder.rglob("*") if file.is_file())
    one = Named("acme", None, datetime.now(UTC), prompts_only=False).hashed()
    remember_forgotten(parent / FORGOTTEN_FILE, one)
    done = restore(parent, new)
    assert done.n_requests == 0
    assert done.n_forgotten == 7
    tier = SqlTier.open(f"sqlite:///{new / 'data/serving/cache.db'}")
    assert {entry.entry_id for entry in tier.scan()} == {"of-other"}
    tier.close()
    for file in new.rglob("*"):
        assert not file.is_file() or b"the words of acme" not in file.read_bytes(), file
    again = places_of(new)
    assert (again.state / FORGOTTEN_FILE).read_text().count("\n") == 1


def test_places_outside_the_working_directory_come_back_inside(
    root: Path, places: Places, parent: Path, new: Path, tmp_path: Path
) -> None:
    shutil.move(places.state, tmp_path / "elsewhere")
    (root / "mlflow.yaml").write_text(f"serving: {{state: {tmp_path / 'elsewhere'}, port: 1}}\n")
    take_backup(replace(places, state=tmp_path / "elsewhere"), parent)
    done = restore(parent, new)
    assert (new / "data/serving/secret").exists()
    assert (new / "mlflow.yaml").read_text() == "serving:\n  state: data/serving\n  port: 1\n"
    assert any("outside" in note for note in done.notes)


def test_one_backup_into_a_folder_at_a_time_and_never_within_what_it_copies(places: Places, parent: Path) -> None:
    with locked(parent), pytest.raises(UnavailableError):
        take_backup(places, parent)
    with pytest.raises(InputError, match="lies within"):
        take_backup(places, places.state / "backups")


def test_there_must_be_something(root: Path, parent: Path, new: Path) -> None:
    with pytest.raises(InputError, match="nothing to back up"):
        take_backup(places_of(root), parent)
    with pytest.raises(InputError, match="no backup"):
        restore(root, new)


_KILLED = textwrap.dedent("""
    import os, sys
    from pathlib import Path
    what, root, parent, new, calls = sys.argv[1], *map(Path, sys.argv[2:5]), int(sys.argv[5])
    from beast_ml.operations.backup.restore import restore
    from beast_ml.operations.backup.take import take_backup
    from beast_ml.testing.deployments import places_of

    def die(event, args):
        global calls
        if event in ("os.rename", "os.link", "os.chmod", "sqlite3.connect"):
            calls -= 1
            is_last = event == "os.rename" and Path(args[1]).parent in (parent, new.parent)
            if calls < 0 or is_last:
                os.kill(os.getpid(), 9)
    os.chdir(root)
    sys.addaudithook(die)
    take_backup(places_of(root), parent) if what == "backup" else restore(parent, new)
""")


def _kill(what: str, root: Path, parent: Path, new: Path, step: int) -> bool:
    child = [sys.executable, "-c", _KILLED, what, str(root), str(parent), str(new), str(step)]
    return subprocess.run(child, check=False).returncode == -signal.SIGKILL


@pytest.mark.parametrize("step", [6, 999])  # in the middle, and just before it would be there
def test_a_killed_backup_leaves_the_earlier_ones_and_nothing_half_written(
    root: Path, places: Places, parent: Path, new: Path, step: int
) -> None:
    first = take_backup(places, parent)
    assert _kill("backup", root, parent, new, step)
    assert backups_in(parent) == [first.folder]
    second = take_backup(places, parent)
    assert sorted(each.name for each in parent.iterdir() if not each.name.startswith(".backup")) == [
        first.folder.name,
        second.folder.name,
    ]
    assert restore(parent, new).backup == second.folder


@pytest.mark.parametrize("step", [12, 999])  # as above
def test_a_killed_restore_leaves_no_half_deployment(
    root: Path, places: Places, parent: Path, new: Path, step: int
) -> None:
    take_backup(places, parent)
    assert _kill("restore", root, parent, new, step)
    assert not new.exists()
    restore(parent, new)
    assert (new / "data/serving/secret").exists()
    assert not list(new.parent.glob(".restored*"))
