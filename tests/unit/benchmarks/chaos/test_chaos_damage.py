"""Damage that is done on purpose, and what stays sound beside it."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from beast_ml.benchmarks.chaos import disks
from beast_ml.benchmarks.chaos.disks import LoopDisk, limited_files, why_no_disk
from beast_ml.benchmarks.chaos.log_faults import damage
from beast_ml.benchmarks.chaos.shifted_server import ShiftFile
from beast_ml.errors import UnavailableError
from beast_ml.logs.compaction import compact
from beast_ml.logs.segments import SegmentWriter, sealed_segments
from beast_ml.logs.store import LogStore
from beast_ml.testing.log_rows import routed_request


def segment_of(folder, n_rows):
    with SegmentWriter(folder) as writer:
        for i in range(n_rows):
            row = {"table": "requests", **routed_request(request_id=f"r{i}")}
            writer.append(json.dumps(row, default=str).encode())
    return sealed_segments(folder)[0]


def test_rows_before_and_after_damaged_ones_reach_the_store_and_these_the_quarantine_with_a_reason(tmp_path):
    segment = segment_of(tmp_path / "segments", 40)
    damaged = damage(segment, np.random.default_rng(0))
    assert len(set(damaged)) == 4
    assert damaged[-1] == "r39"  # the last one is torn
    store = LogStore(tmp_path / "store")
    found = compact(tmp_path / "segments", store, tmp_path / "quarantine")
    kept = set(store.requests(columns=["request_id"])["request_id"].to_pylist())
    assert kept == {f"r{i}" for i in range(40)} - set(damaged)
    assert found.n_quarantined == 4
    assert all(reason for reason in found.quarantined)
    assert "row was cut off" in "".join(found.quarantined)


def test_a_segment_of_few_rows_is_left_alone(tmp_path):
    with pytest.raises(UnavailableError, match="too few"):
        damage(segment_of(tmp_path / "segments", 5), np.random.default_rng(0))


def test_a_process_whose_files_are_limited_cannot_write_and_then_can_again(tmp_path):
    script = (
        "import sys\nfor line in sys.stdin:\n try: open(line.strip(), 'w', buffering=1).write('x\\n'); print('took')\n"
    )
    script += " except OSError as error: print('refused')\n sys.stdout.flush()"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    with process:

        def said(name):
            process.stdin.write(f"{tmp_path / name}\n")
            return process.stdout.readline().strip()

        assert said("a") == "took"
        limited_files([process.pid], 0)
        assert said("b") == "refused"
        limited_files([process.pid], None)
        assert said("c") == "took"
        process.stdin.close()


@pytest.mark.skipif(why_no_disk() is not None, reason="mounting needs root and loop devices")
def test_a_disk_that_was_frozen_and_could_never_be_slowed_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(disks, "_THROTTLE", tmp_path / "no such controller" / "throttle")
    try:
        disk = LoopDisk(tmp_path / "state", tmp_path / "disk.img")
    except UnavailableError as error:
        pytest.skip(str(error))
    assert (tmp_path / "state").is_mount()
    assert disk.why_not_slow is not None
    disk.hang()
    disk.close()
    assert not (tmp_path / "state").is_mount()
    assert not (tmp_path / "disk.img").exists()


def test_limits_of_a_process_that_is_gone_are_no_error():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    limited_files([process.pid], 0)


def test_the_shift_is_what_its_file_says_and_nothing_without_one(tmp_path):
    shift = ShiftFile(tmp_path / "shift")
    assert shift.seconds() == 0.0
    (tmp_path / "shift").write_text("3600.0")
    until = time.monotonic() + 30
    while shift.seconds() != 3600.0:
        assert time.monotonic() < until
    (tmp_path / "shift").write_text("")  # being written
    assert shift.seconds() == 3600.0


def test_a_shifted_process_goes_by_the_file(tmp_path):
    (tmp_path / "shift").write_text("86400")
    script = (
        "import time; from pathlib import Path; before = time.time()\n"
        "from beast_ml.benchmarks.chaos.shifted_server import ShiftFile, shift_clocks\n"
        "from beast_ml.domain.clock import SystemClock\n"
        f"shift_clocks(ShiftFile(Path({str(tmp_path / 'shift')!r})))\n"
        "print(round((time.time() - before) / 86400), round((SystemClock().now().timestamp() - before) / 86400))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]
