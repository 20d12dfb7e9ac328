import json
from pathlib import Path

import pytest

from beast_ml.benchmarks.serving.application import ApplicationTurn
from beast_ml.benchmarks.serving.cases import CaseResult, Effort, Repeat
from beast_ml.benchmarks.serving.drive import Measured
from beast_ml.benchmarks.serving.faults import FaultResult, Timing
from beast_ml.benchmarks.serving.gateway_part import GatewayResult, Turn
from beast_ml.benchmarks.serving.hit_part import HitResult, HitTurn
from beast_ml.benchmarks.serving.load_plan import LoadResult, Quantiles
from beast_ml.benchmarks.serving.plots import draw_all
from beast_ml.benchmarks.serving.report import describe, measured, summary, to_markdown
from beast_ml.benchmarks.serving.serving_bench import ServingConfig, ServingResult
from beast_ml.benchmarks.serving.soak import Slope, SoakResult
from beast_ml.benchmarks.serving.verdicts import Target, targets

CONFIG = ServingConfig(
    parts=("capacity",),
    effort=Effort(2.0, 1.0, 3),
    workers=2,
    wrk=False,
    litellm=None,
    soak_minutes=1.0,
    soak_rate=500.0,
    faults=(),
    timing=Timing(1.0, 1.0, 1.0, 100.0),
    data=None,
    out=Path(),
)


def make_measured(per_s=1000.0, ms=2.0, failures=None):
    latency = Quantiles(ms * 500, ms * 1000, ms * 1500, ms * 5000)
    answered = int(2 * per_s)
    load = LoadResult(
        generator="own",
        seconds=2.0,
        answered=answered,
        failures=failures or {},
        latency=latency,
        first_byte=latency,
    )
    return Measured(load=load, worker_cpu_us=200.0, other_cpu_us=1.0, worker_mb=120.0, other_mb=30.0, busy=(0.9,))


def make_case(name, per_s, workers=1, ready_s=1.0, decisions=1, failures=None):
    repeats = [
        Repeat(ready_s=ready_s, full=make_measured(share * per_s), half=make_measured(per_s / 2, failures=failures))
        for share in (1.0, 0.9, 1.2)
    ]
    return CaseResult(name=name, workers=workers, decisions=decisions, repeats=tuple(repeats))


def make_fault(**changes):
    known = {
        "name": "worker kill -9",
        "rate": 100.0,
        "workers": 2,
        "sent": 100,
        "answered": 99,
        "failures": {},
        "in_flight": 1,
        "after_end": 0,
        "logged": 99,
        "lost": 0,
        "repeated": 0,
        "recovery_s": 1.5,
        "worst_s": 0.2,
    }
    return FaultResult(**(known | changes))


FLAT = Slope(0.1, -0.2, 0.4)


def make_soak(slope=FLAT, minutes=60.0):
    load = make_measured().load
    return SoakResult(
        rate=500.0,
        minutes=minutes,
        load=load,
        at_s=(1.0, 2.0),
        worker_mb=(100.0, 101.0),
        other_mb=(9.0, 9.0),
        slope=slope,
    )


@pytest.fixture
def result():
    cases = (
        make_case("echo, before", 29_000),
        make_case("echo, before", 50_000, workers=2),
        make_case("unseen", 3_500),
        make_case("unseen", 6_300, workers=2),
        make_case("seen", 12_000),
        make_case("features", 9_000),
        make_case("batch", 100, decisions=64),
        make_case("echo, after", 31_000),
        make_case("echo, after", 50_000, workers=2),
    )
    turn = Turn(direct=make_measured(ms=1.0), through=make_measured(ms=2.0))
    gateway = tuple(GatewayResult(rate=200.0, stream=stream, turns=(turn, turn)) for stream in (False, True))
    return ServingResult(cases, gateway, (make_fault(),), make_soak(), {"Valkey outage": "no Valkey\nhere"}, 60.0)


def judged(result):
    return {one.name: one.met for one in targets(result)}


def test_targets_are_judged_by_medians(result):
    assert judged(result) == {
        "unseen prompts, 1 worker: requests/s": True,
        "unseen prompts at half capacity: p95, ms": True,
        "unseen prompts at half capacity: p99, ms": True,
        "prompts seen before, 1 worker: requests/s": True,
        "prompts seen before: share of the echo's": True,
        "features given, 1 worker: requests/s": False,
        "features given: share of the echo's": False,
        "unseen prompts, 2 workers: times one": True,
        "start to ready, s": True,
        "memory of a worker, MB": True,
        "capacity: failed requests": True,
        "gateway: added to the median, ms": True,
        "gateway: added to p99, ms": True,
        "gateway: failed requests": True,
        "gateway, streamed: added to the median, ms": True,
        "gateway, streamed: added to p99, ms": True,
        "gateway, streamed: failed requests": True,
        "worker kill -9: failed decisions": True,
        "worker kill -9: acknowledged rows lost": True,
        "worker kill -9: recovery, s": True,
        "60 minutes at 500 requests/s: failed requests": True,
        "60 minutes at 500 requests/s: memory growth, MB/h": True,
    }


@pytest.mark.parametrize(("hit", "met"), [(80.0, True), (100.0, False)])
def test_a_hit_is_judged_by_the_application_and_by_what_it_costs_beyond_the_echo_of_its_turn(hit, met):
    turns = tuple(HitTurn(echo=echo, route=60.0, hit=echo + hit - 30.0, streamed=120.0) for echo in (30.0, 50.0))
    alone = (ApplicationTurn(route=70.0, hit=hit - 30.0, streamed=90.0),)
    found = ServingResult((), (), (), None, {}, 0.0, HitResult(turns=turns, application=alone, provider_cpu_s=0.0))
    assert judged(found)["exact hit in memory: CPU us beyond a bare echo's"] is met
    assert judged(found)["exact hit in memory: CPU us of the application"] is met
    assert f"| hit less the echo | {hit - 30:.0f} [" in to_markdown(CONFIG, found, "x")


def test_the_share_of_the_echo_is_of_the_mean_before_and_after(result):
    (found,) = [one for one in targets(result) if one.name == "prompts seen before: share of the echo's"]
    assert found.measured == pytest.approx(12_000 / 30_000)


def test_what_was_not_measured_is_neither_met_nor_missed():
    nothing = ServingResult((), (), (), None, {}, 0.0)
    assert {one.met for one in targets(nothing)} == {None}
    assert "no" not in to_markdown(CONFIG, nothing, "x").split("Targets")[1].splitlines()[0]


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (make_fault(failures={"503": 2}), "worker kill -9: failed decisions"),
        (make_fault(lost=1), "worker kill -9: acknowledged rows lost"),
        (make_fault(recovery_s=None), "worker kill -9: recovery, s"),
        (make_fault(recovery_s=31.0), "worker kill -9: recovery, s"),
    ],
)
def test_a_fault_that_hurt_is_not_met(fault, name):
    assert judged(ServingResult((), (), (fault,), None, {}, 0.0))[name] is False


def test_growing_memory_is_not_flat():
    name = "60 minutes at 500 requests/s: memory growth, MB/h"
    grows, unknown = make_soak(Slope(30.0, 20.0, 40.0)), make_soak(None)
    assert judged(ServingResult((), (), (), grows, {}, 0.0))[name] is False
    assert judged(ServingResult((), (), (), unknown, {}, 0.0))[name] is None
    short = make_soak(Slope(30.0, 20.0, 40.0), minutes=5.0)  # caches still fill
    assert judged(ServingResult((), (), (), short, {}, 0.0))["5 minutes at 500 requests/s: memory growth, MB/h"] is None


def test_failed_requests_of_any_case_count():
    cases = (make_case("echo, before", 1, failures={"503": 1}), make_case("unseen", 4000, failures={"503": 2}))
    found = targets(ServingResult(cases, (), (), None, {}, 0.0))
    assert [one.measured for one in found if one.name == "capacity: failed requests"] == [6]


def test_the_report_has_a_table_a_part_and_is_json(result):
    report = json.loads(json.dumps(describe(CONFIG, result, "beast bench serving"), allow_nan=False))
    assert len(report["targets"]) == len(targets(result))
    assert report["machine"]["cores"] >= 1
    text = to_markdown(CONFIG, result, "beast bench serving")
    for words in ("## Capacity", "## Gateway", "## Faults under steady load", "## Soak", "Left out: Valkey outage"):
        assert words in text
    assert "| unseen | 2 | 6,300 [5,670, 7,560] | 0.13 |" in text
    assert "| batch | 1 | 6,400 [5,760, 7,680] | - |" in text
    assert "10,000 unseen prompts a second: a worker takes 3,500 requests/s here, so 3 workers" in text
    assert "2 workers: 1.80 times one worker's requests/s" in text
    assert "here" not in text.split("Left out")[1].splitlines()[0]


def test_targets_are_shown_with_their_ends():
    assert measured(Target("x", "1", None, None)) == "-"
    assert measured(Target("x", "1", 0.0, True)) == "0"
    assert measured(Target("x", "1", 3500.4, True, 3000.0, 4000.0)) == "3,500 [3,000, 4,000]"
    assert measured(Target("x", "1", 1.234, True, 1.0, 2.0)) == "1.23 [1, 2]"
    found = [Target("a", "1", 1.0, True), Target("b", "1", 1.0, False), Target("c", "1", None, None)]
    assert summary(found) == "of 3 targets 1 not measured, 1 met, 1 not met"


def test_pictures_are_drawn_of_what_there_is(result, tmp_path):
    assert [path.name for path in draw_all(result, tmp_path)] == ["capacity.png", "soak.png"]
    assert all((tmp_path / name).stat().st_size > 1000 for name in ("capacity.png", "soak.png"))
    assert draw_all(ServingResult((), (), (), None, {}, 0.0), tmp_path) == ()
