"""What a worker writes down before it acts, so that another one can settle its accounts when it is killed.

One line an event, each ended by ``;`` and a newline:

    #{"holder": ..., "boot": ...}         whose journal it is, and since which start of the machine it is written
    =3 [["tenant:acme:day", "2026-11-25"]]   accounts that reservations name by number
    +ID 1500 3                            1,500 nano-dollars reserved on accounts 3
    -ID 900                               settled at 900
    >ID 900                               a settlement of somebody else's reservation, for the ledger
    !7 {"settled": [...], "lost": [...]}  step 7, written before it is sent to the ledger
    ~[["tenant:acme:day", "2026-11-25", 900]]   settled but not yet reported, where an older journal was folded

A killed process leaves at most the last line torn. Whoever can lock a journal knows that its writer is gone.
"""

from __future__ import annotations

import fcntl
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from beast_ml.errors import InputError, LedgerError
from beast_ml.operations.budgets.ledger import Batch, Charge, Entry, LostReservation

__all__ = ["SUFFIX", "Journal", "Replayed", "boot_id", "final_batch", "lock_abandoned", "replay"]

SUFFIX: Final = ".journal"
"""Ends the name of a journal."""

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class _Header(msgspec.Struct):
    holder: str
    boot: str


class _Report(msgspec.Struct):
    settled: list[tuple[str, str, int]]
    lost: list[str]


_encode: Final = msgspec.json.Encoder().encode


class Journal:
    """The journal of a living worker.

    Parameters
    ----------
    path
        Its file, which must not exist; it appears locked.

    Raises
    ------
    LedgerError
        If the disk refuses.
    """

    def __init__(self, path: Path, holder: str) -> None:
        self._path, self._holder = path, holder
        self.number = 0
        """Changes with every file: accounts that were named in an earlier one must be named again."""
        self._fd = -1
        self._begin(b"")

    @property
    def size(self) -> int:
        """Bytes written to the file so far."""
        return self._size

    def name_charges(self, n: int, charges: Iterable[Charge]) -> None:
        """Give accounts the number that reservations name them by."""
        self._append(b"=%d %s;\n" % (n, _encode(list(charges))))

    def reserve(self, reservation_id: str, upper: int, n: int) -> None:
        """Write down a reservation; it survives a kill once this returns."""
        if not reservation_id or reservation_id.split() != [reservation_id]:
            raise InputError(f"`reservation_id` == {reservation_id!r}, must be one word")
        self._append(b"+%s %d %d;\n" % (reservation_id.encode(), upper, n))

    def settle(self, reservation_id: str, actual: int) -> None:
        """Write down a settlement of a reservation that stands here."""
        self._append(b"-%s %d;\n" % (reservation_id.encode(), actual))

    def forward(self, reservation_id: str, actual: int) -> None:
        """Write down a settlement of a reservation that stands elsewhere."""
        self._append(b">%s %d;\n" % (reservation_id.encode(), actual))

    def report(self, batch: Batch) -> None:
        """Write down a step before it is sent."""
        settled = [(entry.account, entry.window, entry.settled) for entry in batch.entries if entry.settled]
        lost = [each.reservation_id for each in batch.lost]
        self._append(b"!%d %s;\n" % (batch.seq, _encode(_Report(settled, lost))))

    def fold(
        self,
        settled: Mapping[Charge, int],
        charges: Mapping[int, Iterable[Charge]],
        open_: Iterable[tuple[str, int, int]],
        forwarded: Mapping[str, int],
    ) -> None:
        """Begin a new file with nothing in it but what still counts; only while no step is on its way."""
        lines = [b"~%s;\n" % _encode([(*charge, amount) for charge, amount in settled.items()])]
        lines += [b"=%d %s;\n" % (n, _encode(list(each))) for n, each in charges.items()]
        lines += [b"+%s %d %d;\n" % (name.encode(), upper, n) for name, upper, n in open_]
        lines += [b">%s %d;\n" % (name.encode(), actual) for name, actual in forwarded.items()]
        self._begin(b"".join(lines))

    def close(self, *, delete: bool) -> None:
        """Let go of the file; with ``delete`` nothing in it counts any more."""
        if delete:
            with suppress(OSError):  # of a holder that has ended whoever finds it deletes it
                self._path.unlink(missing_ok=True)
        os.close(self._fd)

    def _begin(self, content: bytes) -> None:
        """Write a file aside, lock it, and put it in place: nobody ever finds it without its lock."""
        aside = self._path.with_suffix(".new")
        header = b"#%s;\n" % _encode(_Header(self._holder, boot_id()))
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _write_all(fd, header + content)
                aside.rename(self._path)
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            raise _refused(self._path, error) from error
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._size, self._torn = fd, len(header) + len(content), False
        self.number += 1

    def _append(self, line: bytes) -> None:
        if self._torn:
            line = b"\n" + line
        try:
            written = os.write(self._fd, line)
        except OSError as error:
            raise _refused(self._path, error) from error
        self._size += written
        if written != len(line):
            self._torn = True
            raise _refused(self._path, OSError("the disk is full"))
        self._torn = False


class Replayed(msgspec.Struct):
    """What a dead worker's journal says about the time after its last applied step.

    Parameters
    ----------
    settled
        Nano-dollars settled and not reported.
    open
        Reservations that nobody settled, with their accounts.
    forwarded
        Settlements for the ledger.
    whole
        Nothing can be missing: the machine has not restarted since, and every line is readable.
    holder
        Whose journal it was.
    reported
        Number of the last step that was written down; the ones before it were applied.
    """

    holder: str
    settled: dict[Charge, int]
    open: dict[str, LostReservation]
    forwarded: dict[str, int]
    whole: bool
    reported: int = 0


def replay(content: bytes, applied: int) -> Replayed:
    """Return what a journal holds beyond a step of the ledger."""
    settled: defaultdict[Charge, int] = defaultdict(int)
    replayed = Replayed("", settled, {}, {}, whole=False)
    charges: dict[int, tuple[Charge, ...]] = {}
    try:
        for line in content.split(b"\n"):
            if line.endswith(b";"):  # a torn line is of an event that was never acknowledged
                _replay_line(chr(line[0]), line[1:-1], applied, replayed, charges)
    except (ValueError, KeyError, IndexError):  # msgspec's errors are ValueErrors
        replayed.whole = False
    return replayed


def _replay_line(
    sign: str, rest: bytes, applied: int, replayed: Replayed, charges: dict[int, tuple[Charge, ...]]
) -> None:
    words = rest.decode().split(" ")
    if sign == "+":
        replayed.open[words[0]] = LostReservation(words[0], int(words[1]), charges[int(words[2])])
    elif sign == "-":
        for charge in replayed.open.pop(words[0]).charges:
            replayed.settled[charge] += int(words[1])
    elif sign == "=":
        number, _, text = rest.partition(b" ")
        charges[int(number)] = msgspec.json.decode(text, type=tuple[Charge, ...])
    elif sign == ">":
        replayed.forwarded[words[0]] = int(words[1])
    elif sign == "!":
        number, _, text = rest.partition(b" ")
        report = msgspec.json.decode(text, type=_Report)
        replayed.reported = int(number)
        if int(number) <= applied:
            for account, window, amount in report.settled:
                replayed.settled[account, window] -= amount
            for name in report.lost:
                replayed.open.pop(name, None)
    elif sign == "~":
        for account, window, amount in msgspec.json.decode(rest, type=list[tuple[str, str, int]]):
            replayed.settled[account, window] += amount
    elif sign == "#":
        header = msgspec.json.decode(rest, type=_Header)
        replayed.holder, replayed.whole = header.holder, header.boot == boot_id()
    else:
        raise ValueError(f"no journal has lines that begin with {sign!r}")


def final_batch(
    holder: str,
    seq: int,
    now_s: float,
    settled: Mapping[Charge, int],
    open_: Iterable[LostReservation],
    forwarded: Mapping[str, int],
    *,
    lose_rest: bool,
    forgotten: bool = False,
) -> Batch:
    """Return a holder's last step: what is settled is booked, what is open is lost, the rest goes back."""
    lost: defaultdict[Charge, int] = defaultdict(int)
    reservations = tuple(open_)
    for each in reservations:
        for charge in each.charges:
            lost[charge] += each.upper
    entries = tuple(
        Entry(account, window, settled.get((account, window), 0), lost[account, window])
        for account, window in sorted({*settled, *lost})
    )
    return Batch(
        holder,
        seq,
        now_s,
        entries,
        reservations,
        tuple(forwarded.items()),
        final=True,
        lose_rest=lose_rest,
        forgotten=forgotten,
    )


def lock_abandoned(path: Path) -> int | None:
    """Return an open, locked descriptor of a journal whose writer is gone; None where it lives or the file is gone."""
    try:
        fd = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The writer may have put another file in its place, and let go of this one only then.
        if os.fstat(fd).st_ino == path.stat().st_ino:
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(fd)
    return None


def boot_id() -> str:
    """Return what tells one start of this machine from another; empty where the system does not say."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""


def _write_all(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def _refused(path: Path, error: OSError) -> LedgerError:
    return LedgerError(f"the budget journal {path} cannot be written ({error}): free or mend the disk")
