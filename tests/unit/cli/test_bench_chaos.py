"""What `beast bench chaos` says and writes; a real run is in tests/load."""

import json
import signal
from pathlib import Path

import pytest

from beast_ml.benchmarks.chaos.run import Chaos, ChaosResult
from beast_ml.benchmarks.chaos.window import FaultRow
from beast_ml.benchmarks.serving import router_bundle

ROW = FaultRow(
    name="worker killed",
    times=1,
    requests=40,
    answered=38,
    over_budget=1,
    failed={"closed": 1},
    share_while=None,
    gap_s=0.4,
    recovery_s=0.0,
    worst_s=0.2,
    wrong=(),
)
TOTALS = {"requests": 40, "failed": 1, "acknowledged_rows_checked": 38}


@pytest.fixture
def found(monkeypatch):
    """Let a run find what the test says; no public sets are read for it."""
    monkeypatch.delenv("BEAST_DATA_DIR", raising=False)

    def finds(wrong=()):
        result = ChaosResult((ROW,), {"disk full": "mounting needs root"}, TOTALS, wrong, 1.0)
        monkeypatch.setattr(router_bundle, "quickstart_bundle", lambda *_, **__: Path("router"))
        monkeypatch.setattr(Chaos, "run", lambda _: result)

    return finds


def test_the_table_says_what_failed_and_what_was_not_permitted(beast, found, tmp_path):
    found()
    code, said, _ = beast("bench", "chaos", "--faults", "worker killed,disk full", "--out", str(tmp_path))
    assert code == 0
    assert "all invariants held" in " ".join(said.split())
    page = (tmp_path / "report.md").read_text()
    assert "| disk full | not permitted here |" in page
    assert "| worker killed | 1 | 40 | 1 x closed |" in page
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["holds"] is True
    assert report["not_permitted"] == {"disk full": "mounting needs root"}
    assert report["uptime"]["one_host_min"] == pytest.approx(52 * 0.4 / 60)


def test_what_did_not_hold_is_told_and_ends_with_1(beast, found, tmp_path):
    found(wrong=("r1 of acme was answered and is not in the log",))
    code, said, _ = beast("bench", "chaos", "--parts", "processes", "--out", str(tmp_path), "--json")
    assert code == 1
    assert json.loads(said)["wrong"] == ["r1 of acme was answered and is not in the log"]


def test_being_told_to_stop_ends_what_was_started(beast, found, monkeypatch, tmp_path):
    found()
    handlers = []
    result = Chaos.run(None)
    monkeypatch.setattr(Chaos, "run", lambda _: handlers.append(signal.getsignal(signal.SIGTERM)) or result)
    assert beast("bench", "chaos", "--parts", "processes", "--out", str(tmp_path))[0] == 0
    assert handlers == [signal.default_int_handler]  # as Ctrl-C: context managers end their servers


@pytest.mark.parametrize(("option", "value"), [("--parts", "weather"), ("--faults", "worker bored")])
def test_an_unknown_part_or_fault_is_refused_with_those_there_are(beast, option, value):
    code, _, said = beast("bench", "chaos", option, value)
    assert code == 2
    assert "there are" in said
