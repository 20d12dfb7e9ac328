import os
from pathlib import Path

import pytest

from beast_ml.errors import InputError, UnavailableError
from beast_ml.operations.budgets.journal import Journal, lock_abandoned, replay
from beast_ml.operations.budgets.ledger import Batch, Entry, LostReservation

CHARGES = (("tenant:acme:day", "2026-11-25"), ("global:*:month", "2026-11"))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path / "a.journal", "a")
    journal.name_charges(1, CHARGES)
    return journal


def content(tmp_path: Path) -> bytes:
    return (tmp_path / "a.journal").read_bytes()


def report(seq: int, settled: int, *lost: str) -> Batch:
    entries = tuple(Entry(account, window, settled=settled) for account, window in CHARGES)
    return Batch("a", seq, 0.0, entries, tuple(LostReservation(name, 1, CHARGES) for name in lost))


def test_what_is_settled_open_and_forwarded_comes_back(journal: Journal, tmp_path: Path) -> None:
    journal.reserve("r1", 100, 1)
    journal.reserve("r2", 200, 1)
    journal.settle("r1", 60)
    journal.forward("r9", 5)
    found = replay(content(tmp_path), 0)
    assert found.whole
    assert found.holder == "a"
    assert found.settled == dict.fromkeys(CHARGES, 60)
    assert found.open == {"r2": LostReservation("r2", 200, CHARGES)}
    assert found.forwarded == {"r9": 5}


@pytest.mark.parametrize(("applied", "settled", "still_open"), [(0, 60, {"r2"}), (1, 0, set())])
def test_a_step_counts_if_the_ledger_has_applied_it(
    applied: int, settled: int, still_open: set[str], journal: Journal, tmp_path: Path
) -> None:
    journal.reserve("r1", 100, 1)
    journal.reserve("r2", 100, 1)
    journal.settle("r1", 60)
    journal.report(report(1, 60, "r2"))
    found = replay(content(tmp_path), applied)
    assert found.settled == dict.fromkeys(CHARGES, settled)
    assert set(found.open) == still_open


def test_a_folded_journal_says_the_same(journal: Journal, tmp_path: Path) -> None:
    journal.reserve("r1", 100, 1)
    journal.fold(dict.fromkeys(CHARGES, 70), {4: CHARGES}, [("r2", 200, 4)], {"r9": 5})
    journal.settle("r2", 20)
    found = replay(content(tmp_path), 0)
    assert found.settled == dict.fromkeys(CHARGES, 90)
    assert (found.open, found.forwarded, found.whole) == ({}, {"r9": 5}, True)
    assert journal.number == 2


def test_a_torn_end_is_of_nothing_that_was_acknowledged(journal: Journal, tmp_path: Path) -> None:
    journal.reserve("r1", 100, 1)
    whole = content(tmp_path)
    journal.settle("r1", 60)
    for cut in range(len(whole), len(content(tmp_path)) - 2):
        found = replay(content(tmp_path)[:cut], 0)
        assert (set(found.open), found.settled, found.whole) == ({"r1"}, {}, True)


@pytest.mark.parametrize(
    "damage", [b"-unknown 5;\n", b"?;\n", b"+r2 x 1;\n", b"+r2 5 77;\n", b"!1 {;\n", b";\n", b"\xff\xff;\n"]
)
def test_a_journal_that_makes_no_sense_is_not_whole(damage: bytes, journal: Journal, tmp_path: Path) -> None:
    assert not replay(content(tmp_path) + damage, 0).whole


def test_after_a_restart_of_the_machine_lines_may_be_missing(journal: Journal, tmp_path: Path) -> None:
    assert not replay(content(tmp_path).replace(b'"boot":"', b'"boot":"before-'), 0).whole
    assert not replay(b"", 0).whole


def test_only_who_finds_the_writer_gone_has_the_lock(journal: Journal, tmp_path: Path) -> None:
    assert lock_abandoned(tmp_path / "a.journal") is None
    journal.fold({}, {}, [], {})
    assert lock_abandoned(tmp_path / "a.journal") is None
    journal.close(delete=False)
    fd = lock_abandoned(tmp_path / "a.journal")
    assert fd is not None
    assert lock_abandoned(tmp_path / "a.journal") is None
    os.close(fd)
    assert lock_abandoned(tmp_path / "none.journal") is None


@pytest.mark.parametrize("name", ["", "two words", "a\nb", " a"])
def test_a_reservation_is_one_word(name: str, journal: Journal) -> None:
    with pytest.raises(InputError, match="one word"):
        journal.reserve(name, 1, 1)


def test_a_full_disk_refuses_and_leaves_nothing_that_reads_as_a_line(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr("beast_ml.operations.budgets.journal.os.write", lambda fd, line: write(fd, line[:4]))
        with pytest.raises(UnavailableError, match="disk is full"):
            journal.reserve("r1", 100, 1)
    journal.reserve("r2", 50, 1)
    found = replay(content(tmp_path), 0)
    assert (set(found.open), found.whole) == ({"r2"}, True)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="cannot be written"):
        Journal(tmp_path / "file" / "a.journal", "a")
