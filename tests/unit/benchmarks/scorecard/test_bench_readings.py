import pytest

from beast_ml.benchmarks.figures import Figure
from beast_ml.benchmarks.scorecard.bench_readings import (
    adopted_changes,
    availability,
    budget_overrun,
    cache_rate,
    figure,
    gain_over,
    lowest_accuracy,
    recovery_of,
    serving_target,
    throughput,
    tuning_gain,
)
from beast_ml.errors import NotEnoughDataError

UNSEEN = "unseen prompts, 1 worker: requests/s"


SWARM = {
    "truly_settled": 900, "truly_in_doubt": 50, "settled": 900, "lost": 50, "limit": 1000, "requests": 9,
    "refused": 3, "workers": 16, "kills": 1,
}  # fmt: skip


def serving(**measured):
    """Return a report of `beast bench serving` with these figures and ends of +-10%."""
    rows = [
        {"name": name, "measured": value, "low": value and value * 0.9, "high": value and value * 1.1}
        for name, value in measured.items()
    ]
    return {"targets": rows, "machine": {"cpu": "a", "cores": 4}, "faults": []}


def fault(name, **changes):
    what = {"sent": 1000, "after_end": 0, "failures": {}, "in_flight": 0, "recovery_s": 1.0}
    return {"name": name, **what, **changes}


def learning(*figures):
    """Return a report with figures of (part, set, router, name, value)."""
    rows = [Figure(*each, low=each[-1] - 0.1, high=each[-1] + 0.1) for each in figures]
    return {"figures": [{name: getattr(row, name) for name in row.__struct_fields__} for row in rows]}


def test_a_figure_of_serving_is_found_by_its_name_where_it_was_measured():
    report = serving(latency=5.0, away=None)
    assert serving_target("latency")(report).value == 5.0
    assert serving_target("away")(report) is None
    assert serving_target("unknown")(report) is None


def test_throughput_is_that_of_the_most_workers():
    scaled = {UNSEEN: 1000.0, "unseen prompts, 2 workers: times one": 1.8, "unseen prompts, 4 workers: times one": 3.0}
    assert throughput(serving(**scaled)).value == 3000.0
    assert throughput(serving(**{UNSEEN: 1000.0})).value == 1000.0
    assert throughput(serving()) is None


def test_what_a_killed_worker_held_counts_against_uptime_and_what_a_stopped_server_refused_does_not():
    faults = [fault("kill", in_flight=3, failures={"closed": 2}), fault("drain", sent=1500, after_end=500)]
    found = availability(serving() | {"faults": faults})
    assert found.value == pytest.approx(1.0 - 5 / 2000)
    assert found.low < found.value < found.high
    assert availability(serving()) is None


def test_the_slowest_recovery_counts_and_one_that_never_came_is_endless():
    faults = [fault("swap", recovery_s=0.5), fault("kill", recovery_s=2.0)]
    assert recovery_of()({"faults": faults}).value == 2.0
    assert recovery_of("swap")({"faults": faults}).value == 0.5
    assert recovery_of()({"faults": [*faults, fault("away", recovery_s=None)]}).value == float("inf")
    assert recovery_of("unknown")({"faults": faults}) is None


def test_a_rate_of_the_cache_is_that_of_the_whole_ladder_with_the_right_number_of_requests():
    top = {"requests": 1000, "known_share": 0.5, "known_served_rate": 0.99}
    report = {"sets": {"replay": {"settings": {"ordinary": {"ladder": {"exact": {}, "all": top}}}}}}
    found = cache_rate("ordinary", "known_served_rate", "known_share")(report)
    assert found.value == pytest.approx(0.99, abs=1 / 500)
    assert 0.97 < found.low < 0.99 < found.high < 1.0
    assert cache_rate("ordinary", "hit_rate")({"sets": {}}) is None
    top["hit_rate"] = 0.4
    assert cache_rate("ordinary", "hit_rate", ceiling="known_share")(report).ceiling == 0.5


def test_the_oracle_is_the_ceiling():
    report = learning(("savings", "s", "beast", "saving", 0.4), ("savings", "s", "oracle", "saving", 0.8))
    found = figure("savings", "s", "saving", best=("oracle", "saving"))(report)
    assert (found.value, found.ceiling) == (0.4, 0.8)
    assert figure("savings", "other", "saving")(report) is None
    assert figure("savings", "s", "saving", best=1.0)(report).ceiling == 1.0
    assert figure("savings", "s", "saving", best=("oracle", "unknown"))(report).ceiling is None
    noisy = learning(("calibration", "s", "beast", "ece", 0.02), ("calibration", "s", "beast", "ece_floor", 0.015))
    assert figure("calibration", "s", "ece", best=("beast", "ece_floor"))(noisy).ceiling == 0.015


def test_cost_prediction_is_told_of_the_worst_set():
    rows = [("cost", name, "beast", "spend_accuracy", value) for name, value in (("a", 0.99), ("b", 0.9), ("c", 0.95))]
    found = lowest_accuracy(learning(*rows, ("cost", "b", "beast", "median_ratio_error", 0.12)))
    assert found.value == 0.9
    assert found.note == "b, the worst of 3 sets; a single call is off by 12% in the median"
    assert lowest_accuracy(learning()) is None


def test_what_tuning_gains_is_a_share_of_what_the_defaults_reach():
    rows = [("tuning", "s", "defaults", "share_of_gap", 0.2), ("tuning", "s", "gain", "share_of_gap", 0.05)]
    found = tuning_gain("s")(learning(*rows))
    assert found.value == pytest.approx(0.25)
    assert (found.low, found.high) == (pytest.approx(-0.25), pytest.approx(0.75))
    assert found.ceiling == pytest.approx(4.0)
    assert tuning_gain("other")(learning(*rows)) is None
    with pytest.raises(NotEnoughDataError, match=r"defaults reach -0\.1 of the gap"):
        tuning_gain("s")(learning(("tuning", "s", "defaults", "share_of_gap", -0.1), rows[1]))


def test_gains_are_positive_when_things_got_better():
    now, before = serving(latency=5.0, rate=200.0), serving(latency=10.0, rate=100.0)
    assert gain_over(before, "latency", less_is_better=True)(now).value == 0.5
    assert gain_over(before, "rate", less_is_better=False)(now).value == 1.0
    other = before | {"machine": {"cpu": "b", "cores": 4}}
    assert gain_over(other, "rate", less_is_better=False)(now).note == "on different machines: a, b"
    assert gain_over(before, "unknown", less_is_better=True)(now) is None


def test_an_overrun_is_what_was_spent_beyond_the_limit():
    found = budget_overrun(SWARM)
    assert found.value == 0.0
    assert "of 16 workers, 3 requests refused" in found.note
    assert budget_overrun({**SWARM, "truly_settled": 1_000}).value == 50e-9


def test_a_limit_that_nobody_reached_was_not_put_to_the_test():
    with pytest.raises(NotEnoughDataError, match="no request was refused: 16 workers spent 950 of 1,000"):
        budget_overrun({**SWARM, "refused": 0})
    assert budget_overrun({**SWARM, "refused": 0, "truly_settled": 1_000}).value == 50e-9  # one that did not hold


def test_changes_that_evidence_adopted_are_a_share_of_those_that_were_judged():
    outcomes = [("learning", "adopted"), ("learning", "taken back"), ("learning", "open"), ("tuning", "refused")]
    found = adopted_changes({"changes": [{"origin": origin, "outcome": outcome} for origin, outcome in outcomes]})
    assert found.value == pytest.approx(1 / 3)
    assert found.note == "learning: 1 of 2, tuning: 0 of 1; 1 taken back, 1 open"
    assert adopted_changes({"changes": [{"origin": "tuning", "outcome": "open"}]}) is None
