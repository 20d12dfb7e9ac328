from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from beast_ml.errors import InputError, UnavailableError
from beast_ml.logs import segments
from beast_ml.logs.segments import OPEN_SUFFIX, SegmentWriter, oldest_segment_at, seal_abandoned, sealed_segments

NEVER = 3600.0  # seconds: no commit but those a test asks for


def lines_of(folder: Path) -> list[bytes]:
    paths = sorted(folder.glob("*.jsonl"))
    return [line for path in paths for line in path.read_bytes().splitlines()]


def open_segments(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{OPEN_SUFFIX}"))


@contextmanager
def full_disk(at_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size, as a full disk does: a part is written, then comes an error."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (at_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_rows_are_in_the_file_as_soon_as_append_returns(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path / "segments", sync_s=NEVER) as writer:
        writer.append(b'{"a":1}')
        writer.append_many([b'{"a":2}', b'{"a":3}'])
        writer.append_many([])
        assert lines_of(tmp_path / "segments") == [b'{"a":1}', b'{"a":2}', b'{"a":3}']
        assert writer.n_rows == 3
        assert sealed_segments(tmp_path / "segments") == []


def test_closing_seals_and_refuses_what_comes_later(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, sync_s=NEVER)
    writer.append(b"{}")
    writer.close()
    writer.close()
    [sealed] = sealed_segments(tmp_path)
    assert sealed.read_bytes() == b"{}\n"
    assert open_segments(tmp_path) == []
    with pytest.raises(UnavailableError, match="is closed: the server is stopping"):
        writer.append(b"{}")


def test_a_writer_without_rows_leaves_no_file(tmp_path: Path) -> None:
    SegmentWriter(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_a_line_break_is_refused(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path) as writer:
        for write in (lambda: writer.append(b"{}\n{}"), lambda: writer.append_many([b"{}", b"{\n}"])):
            with pytest.raises(InputError, match="holds a line break"):
                write()
        assert lines_of(tmp_path) == []


def test_a_long_segment_is_sealed_and_order_is_kept(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, max_bytes=100, sync_s=NEVER) as writer:
        for i in range(50):
            writer.append(b'{"number":%03d}' % i)
        writer.sync()
        assert len(sealed_segments(tmp_path)) == 7
        assert len(open_segments(tmp_path)) == 1
    assert lines_of(tmp_path) == [b'{"number":%03d}' % i for i in range(50)]


def test_an_old_segment_is_sealed_without_another_row(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, max_age_s=0.0, sync_s=NEVER) as writer:
        writer.append(b"{}")
        writer.sync()
        assert [path.read_bytes() for path in sealed_segments(tmp_path)] == [b"{}\n"]
        assert open_segments(tmp_path) == []


def test_the_group_commit_comes_by_itself(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, sync_s=0.01) as writer:
        writer.append(b"{}")
        deadline = time.monotonic() + 30
        while writer.unsynced_bytes and time.monotonic() < deadline:
            time.sleep(0.005)
        assert writer.unsynced_bytes == 0


def test_a_sync_puts_everything_on_the_disk_first(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, sync_s=NEVER) as writer:
        writer.append(b"{}")
        assert writer.unsynced_bytes == 3
        writer.sync()
        assert writer.unsynced_bytes == 0


def test_a_full_disk_is_said_leaves_no_half_row_and_mends_by_itself(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, sync_s=NEVER) as writer:
        writer.append(b'{"a":1}')
        with full_disk(at_bytes=20):
            for rows in ([b'{"a":%d}' % i for i in range(5)], [b'{"a":"%s"}' % (b"x" * 100)]):
                with pytest.raises(UnavailableError, match=r"cannot be written .*nothing is served that is not logged"):
                    writer.append_many(rows)
                assert lines_of(tmp_path) == [b'{"a":1}']
            assert writer.error is not None
            writer.append(b'{"a":2}')
        writer.append(b'{"a":3}')
        assert writer.error is None
    assert lines_of(tmp_path) == [b'{"a":1}', b'{"a":2}', b'{"a":3}']


def test_what_cannot_be_taken_back_is_never_followed_by_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, n_bytes: int) -> None:
        raise OSError(5, "Input/output error")

    with SegmentWriter(tmp_path, sync_s=NEVER) as writer:
        writer.append(b'{"a":1}')
        with monkeypatch.context() as patch, full_disk(at_bytes=12):
            patch.setattr(os, "ftruncate", refuse)
            with pytest.raises(UnavailableError):
                writer.append(b'{"a":2}')
        writer.append(b'{"a":3}')
    assert lines_of(tmp_path) == [b'{"a":1}', b'{"a"', b'{"a":3}']
    assert len(sealed_segments(tmp_path)) == 2


def test_a_folder_that_cannot_be_made_is_said_and_mends_by_itself(tmp_path: Path) -> None:
    blocker = tmp_path / "state"
    blocker.write_text("a file where a folder must be")
    with SegmentWriter(blocker / "segments", sync_s=NEVER) as writer:
        with pytest.raises(UnavailableError, match="cannot be written"):
            writer.append(b"{}")
        blocker.unlink()
        writer.append(b"{}")
    assert lines_of(blocker / "segments") == [b"{}"]


def test_after_a_failed_sync_rows_are_refused_until_the_disk_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with SegmentWriter(tmp_path, sync_s=NEVER) as writer:
        writer.append(b'{"a":1}')
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", refuse)
            patch.setattr(os, "fsync", refuse)
            for _ in range(2):
                with pytest.raises(UnavailableError, match="Input/output error"):
                    writer.sync()
            with pytest.raises(UnavailableError, match="Input/output error"):
                writer.append(b'{"a":2}')
        writer.sync()
        assert writer.error is None
        writer.append(b'{"a":3}')
    assert lines_of(tmp_path) == [b'{"a":1}', b'{"a":3}']
    assert len(sealed_segments(tmp_path)) == 2  # nothing goes on in a file whose sync failed


def test_a_segment_that_someone_removed_is_not_written_further(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, sync_s=NEVER) as writer:
        writer.append(b'{"a":1}')
        [path] = open_segments(tmp_path)
        path.unlink()
        writer.sync()
        writer.append(b'{"a":2}')
        assert lines_of(tmp_path) == [b'{"a":2}']


def test_threads_append_whole_rows(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, max_bytes=1000, sync_s=0.001) as writer:

        def write(k: int) -> None:
            for i in range(200):
                writer.append(b'{"thread":%d,"row":%d}' % (k, i))

        threads = [threading.Thread(target=write, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(lines_of(tmp_path)) == sorted(
        b'{"thread":%d,"row":%d}' % (k, i) for k in range(4) for i in range(200)
    )


def test_only_the_dead_leave_abandoned_segments(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from beast_ml.logs.segments import SegmentWriter\n"
        'SegmentWriter(Path(sys.argv[1])).append(b\'{"of":"the dead"}\')\n'
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    with SegmentWriter(tmp_path) as writer:
        writer.append(b'{"of":"the living"}')
        assert len(open_segments(tmp_path)) == 2
        [sealed] = seal_abandoned(tmp_path)
        assert sealed_segments(tmp_path) == [sealed]
        assert sealed.read_bytes() == b'{"of":"the dead"}\n'
        assert seal_abandoned(tmp_path) == []
        writer.append(b'{"of":"the living"}')


def test_a_file_that_was_never_given_its_name_is_swept_up(tmp_path: Path) -> None:
    (tmp_path / ".new-0001").touch()
    assert seal_abandoned(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_new_segment_survives_a_compaction_that_sweeps_it_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, swept = segments.fcntl.flock, []

    def sweep_first(fd: int, operation: int) -> None:
        if not swept:
            swept.append(True)
            for path in tmp_path.glob(".new-*"):
                path.unlink()
        lock(fd, operation)

    monkeypatch.setattr(segments.fcntl, "flock", sweep_first)
    with SegmentWriter(tmp_path) as writer:
        writer.append(b"{}")
    assert lines_of(tmp_path) == [b"{}"]


def test_the_writer_needs_nothing_but_the_standard_library() -> None:
    code = (
        "import sys; import beast_ml.logs.segments; "
        "print([name for name in ('pyarrow', 'numpy', 'duckdb', 'pandas', 'msgspec') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_the_oldest_segment_tells_how_far_the_store_is_behind(tmp_path: Path) -> None:
    assert oldest_segment_at(tmp_path / "none") is None
    before = time.time()
    for _ in range(2):
        writer = SegmentWriter(tmp_path, sync_s=NEVER)
        writer.append(b"{}")
        writer.close()
    began = oldest_segment_at(tmp_path)
    assert began is not None
    assert before <= began <= time.time()
    sealed_segments(tmp_path)[0].unlink()
    later = oldest_segment_at(tmp_path)
    assert later is not None
    assert later > began
