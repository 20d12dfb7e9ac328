import json
import os
import signal
import threading
import time

import pytest

from beast_ml.benchmarks.results import write_json
from beast_ml.benchmarks.scorecard.card import describe, measure_all, to_markdown
from beast_ml.benchmarks.scorecard.roadmap import SOURCES, targets
from beast_ml.benchmarks.scorecard.sources import Plan, Sources
from beast_ml.cli.told_to_stop import stopped_like_ctrl_c
from beast_ml.errors import InputError, NotEnoughDataError


class Told(Sources):
    """Tells what it is given, and counts how often it is asked."""

    def __init__(self, plan, told):
        super().__init__(plan)
        self.told, self.asked = told, []

    def _run(self, name):
        self.asked.append(name)
        if name not in self.told:
            raise NotEnoughDataError(f"{name} is away")
        return self.told[name]


def test_every_target_has_a_source_a_command_and_a_definition(tmp_path):
    sources = Sources(Plan(tmp_path))
    for target in targets():
        assert target.source in SOURCES
        assert target.definition.endswith(".")
        assert sources.command(target.source)
    assert {target.source for target in targets()} == set(SOURCES)
    assert len({target.name for target in targets()}) == len(targets())


ROADMAP = (
    ("latency", "decision latency, p95"),
    ("throughput", "throughput of one host"),
    ("uptime", "uptime while things break"),
    ("hit rate", "cache hits on common requests, ordinary stream"),
    ("selection accuracy", "selection accuracy, mmlu_pro"),
    ("quality prediction accuracy", "quality prediction, quickstart"),
    ("cost prediction accuracy", "cost prediction"),
    ("savings against the best single model", "savings against the best single model, quickstart"),
    ("savings against the dearest model", "savings against the dearest model, quickstart"),
    ("budget compliance", "budget overrun"),
    ("cost per request", "cost of a request, quickstart"),
    ("recovery", "recovery"),
    ("deployment time", "deployment time"),
    ("coverage", "test coverage"),
    ("feedback coverage", "feedback coverage"),
    ("imbalance", "imbalance of equal endpoints"),
    ("fallback rate", "fallback rate"),
    ("error rate", "error rate"),
    ("satisfaction", "satisfaction"),
    ("quality gain", "quality gained, quickstart"),
    ("latency gain", "latency gained over a recorded baseline"),
    ("throughput gain", "throughput gained over a recorded baseline"),
    ("self-improvement", "self-improvement"),
)


def test_whatever_the_roadmap_names_has_a_line():
    lines = {target.name for target in targets()}
    assert [asked for asked, line in ROADMAP if line not in lines] == []


def test_a_source_is_measured_once_and_found_again_by_the_next_run(tmp_path):
    told = {"budgets": {"limit": 1}}
    for asked in (["budgets"], []):
        sources = Told(Plan(tmp_path), told)
        assert sources.report("budgets") == sources.report("budgets") == told["budgets"]
        assert sources.asked == asked
    other = Told(Plan(tmp_path, quick=True), told)
    other.report("budgets")
    assert other.asked == ["budgets"]


def test_fewer_workers_share_a_limit_that_they_reach_as_the_many_do(tmp_path):
    full, quick = (Sources(Plan(tmp_path, quick=quick))._argv("budgets") for quick in (False, True))
    per_worker = {
        int(argv[argv.index("--limit") + 1]) / int(argv[argv.index("--workers") + 1]) for argv in (full, quick)
    }
    assert len(per_worker) == 1
    assert per_worker.pop() < 150 * 250  # what the requests of a worker cost in the mean


def test_what_an_earlier_version_left_of_a_drill_is_in_nobodys_way(tmp_path):
    (tmp_path / "swarm" / "truth").mkdir(parents=True)
    sources = Sources(Plan(tmp_path))
    sources._argv = lambda name: (
        "-c",
        "import json, os, sys; print(json.dumps(os.listdir(sys.argv[1])))",
        str(tmp_path),
    )
    with pytest.raises(NotEnoughDataError, match="nothing to tell"):
        sources.report("budgets")


def test_what_is_away_leaves_the_rest_of_the_card_whole(tmp_path):
    sources = Told(Plan(tmp_path), {"changes": {"changes": [{"origin": "learning", "outcome": "adopted"}]}})
    scores = {score.target.name: score for score in measure_all(sources, ("changes", "coverage"))}
    assert scores["self-improvement"].reading.value == 1.0
    assert scores["test coverage"].word == "not measurable"
    assert scores["test coverage"].why_not == "coverage is away"
    assert sources.asked == ["changes", "coverage"]
    told = to_markdown(list(scores.values()), "beast scorecard")
    assert "| self-improvement | - | 100% [20.65%, 100%] | - | no goal |" in told
    assert "Not measurable here: coverage is away." in told
    verdicts = [each["verdict"] for each in describe(list(scores.values()), "beast scorecard")["targets"]]
    assert verdicts == ["no goal", "not measurable"]


def test_a_recovery_that_never_came_is_written_down_all_the_same(tmp_path):
    away = {"name": "away", "sent": 100, "after_end": 0, "failures": {}, "in_flight": 0, "recovery_s": None}
    sources = Told(Plan(tmp_path), {"serving": {"targets": [], "faults": [away], "machine": {"cores": 2, "cpu": "a"}}})
    scores = measure_all(sources, ("serving",))
    write_json(tmp_path / "card.json", describe(scores, "beast scorecard"))
    found = next(
        each for each in json.loads((tmp_path / "card.json").read_bytes())["targets"] if each["name"] == "recovery"
    )
    assert (found["verdict"], found["reading"]["value"]) == ("not met", None)
    assert "which it never did" in found["reading"]["note"]


def test_a_command_that_fails_says_so_with_its_last_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotEnoughDataError, match=r"selection --json` ended with 2: .*no log store in data/logs"):
        Sources(Plan(tmp_path)).report("selection")


def test_without_a_run_of_the_tests_their_coverage_is_not_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotEnoughDataError, match="run `poe test`"):
        Sources(Plan(tmp_path)).report("coverage")


def test_what_was_gained_wants_a_baseline_and_says_so(tmp_path):
    sources = Told(Plan(tmp_path), {"serving": {"targets": [], "faults": [], "machine": {"cores": 2, "cpu": "a"}}})
    gains = [score for score in measure_all(sources, ("serving",)) if "baseline" in score.target.name]
    assert len(gains) == 2
    assert all("by --baseline" in score.why_not for score in gains)


def test_an_unknown_source_is_refused(tmp_path):
    with pytest.raises(InputError, match="no source is called 'weather'"):
        Sources(Plan(tmp_path)).report("weather")


WAITS = """
import pathlib, signal, sys, time
ready, told = map(pathlib.Path, sys.argv[1:])
signal.signal(signal.SIGTERM, lambda *_: (told.touch(), sys.exit(0)))
ready.touch()
time.sleep(60)
"""


def test_a_source_that_is_interrupted_is_told_to_stop_and_waited_for(tmp_path, monkeypatch):
    ready, told = tmp_path / "ready", tmp_path / "told"
    monkeypatch.setattr(Sources, "_argv", lambda *_: ("-c", WAITS, str(ready), str(told)))

    def interrupt() -> None:
        while not ready.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt), stopped_like_ctrl_c():
        Sources(Plan(tmp_path)).report("changes")
    interrupter.join()
    assert told.exists()
