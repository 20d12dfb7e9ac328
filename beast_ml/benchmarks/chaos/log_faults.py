"""Segments of the log that are damaged where they lie."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from beast_ml.benchmarks.chaos.deployment import Deployment, kill_all
from beast_ml.benchmarks.chaos.fault import Fault, Rate
from beast_ml.benchmarks.chaos.traffic import Reply
from beast_ml.benchmarks.serving.load_plan import CLOSED
from beast_ml.errors import UnavailableError
from beast_ml.logs.segments import seal_abandoned, sealed_segments

__all__ = ["LOG_FAULTS", "damage"]

_N_FLIPPED: Final = 3
_LEAST_ROWS: Final = 10
_PATIENCE_S: Final = 120.0
_SEALED_S: Final = 5.0
_LOOK_S: Final = 0.05


def damage(segment: Path, rng: np.random.Generator, n_flipped: int = _N_FLIPPED) -> list[str]:
    """Flip a byte in some rows of a segment and tear its last one; return the ids of the requests that this meets.

    Raises
    ------
    UnavailableError
        If it has too few rows.
    """
    lines = segment.read_bytes().rstrip(b"\n").split(b"\n")
    if len(lines) < _LEAST_ROWS:
        raise UnavailableError(f"{segment} has {len(lines)} rows, too few to damage some and leave others")
    met = sorted(int(i) for i in rng.choice(np.arange(1, len(lines) - 1), size=n_flipped, replace=False))
    ids = [_request_id(lines[i]) for i in (*met, len(lines) - 1)]
    for i in met:
        at = int(rng.integers(len(lines[i])))
        lines[i] = lines[i][:at] + b"\xff" + lines[i][at + 1 :]  # in no UTF-8, wherever it stands
    lines[-1] = lines[-1][: len(lines[-1]) // 2]
    segment.write_bytes(b"\n".join(lines))
    return [each for each in ids if each is not None]


def _request_id(line: bytes) -> str | None:
    found = msgspec.json.decode(line).get("request_id")
    return None if found is None else str(found)


def _damage_longest(deployment: Deployment, rng: np.random.Generator) -> None:
    """Kill a worker, whose segment is then sealed, damage the longest sealed one, and have all taken into the store."""
    kill_all([int(rng.choice(deployment.server.workers()))])
    until = time.monotonic() + _SEALED_S
    while not seal_abandoned(deployment.segments) and time.monotonic() < until:
        time.sleep(_LOOK_S)  # its locks end with it, which takes a moment
    longest = max(sealed_segments(deployment.segments), key=lambda path: path.stat().st_size, default=None)
    if longest is None:
        raise UnavailableError("no segment is sealed yet")
    deployment.excused |= set(damage(longest, rng))
    options = ["--segments", str(deployment.segments), "--store", str(deployment.store.path)]
    options += ["--quarantine", str(deployment.quarantine), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "beast_ml.cli", "logs", "compact", *options],
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
        cwd=deployment.folder,
    )
    if done.returncode:
        deployment.noted.append(f"compaction failed: {done.stderr.strip()[-300:]}")
        return
    n_refused = msgspec.json.decode(done.stdout)["n_quarantined"]
    if n_refused < _N_FLIPPED + 1:  # the killed worker may have torn one of its own
        deployment.noted.append(f"{_N_FLIPPED + 1} rows were damaged, {n_refused} are quarantined")


def _has_reasons(deployment: Deployment, _: Sequence[Reply]) -> list[str]:
    """Look whether every damaged row lies in the quarantine, with a reason."""
    rows = [
        msgspec.json.decode(line)
        for path in deployment.quarantine.rglob("*.jsonl")
        for line in path.read_bytes().splitlines()
    ]
    if not rows:
        return ["nothing is in the quarantine"]
    return [f"a quarantined row has no reason: {row}" for row in rows if not row.get("reason")]


LOG_FAULTS: Final = (
    Fault(
        "segment corrupt",
        "log",
        f"a byte of {_N_FLIPPED} rows in the middle of a sealed segment is changed and its last row is torn, "
        "then it is compacted",
        _damage_longest,
        Rate(0.5),
        may=frozenset({CLOSED}),  # a worker is killed, so that there is a sealed segment
        check=_has_reasons,
    ),
)
"""In the order of the report."""
