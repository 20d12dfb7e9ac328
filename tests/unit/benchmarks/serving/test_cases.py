import os

import pytest

from beast_ml.benchmarks.serving.cases import Bodies, Case, Effort, measure_case, write_all
from beast_ml.benchmarks.serving.subjects import echo
from beast_ml.benchmarks.serving.wrk import wrk_version
from beast_ml.errors import UnavailableError

EFFORT = Effort(seconds=1.0, warm_s=0.1, repeats=2, connections=4)


@pytest.mark.parametrize("wrk", [False, True])
def test_a_case_is_measured_on_a_fresh_server_each_time(tmp_path, bodies, wrk):
    if wrk and wrk_version() is None:
        pytest.skip("wrk is not installed")
    case = Case("echo", echo(), Bodies(bodies, repeat=True), path="/")
    result = measure_case(case, EFFORT, sorted(os.sched_getaffinity(0)), tmp_path, wrk=wrk)
    assert (result.name, result.workers, result.failed) == ("echo", 1, 0)
    assert len(result.repeats) == 2
    for each in result.repeats:
        assert each.full.load.generator.startswith("wrk" if wrk else "own")
        assert each.full.load.answered > each.half.load.answered > 0
        assert each.full.worker_cpu_us > 0
        assert each.full.worker_mb > 1
        assert len(each.full.busy) == 1
    assert result.per_s.low <= result.per_s.median <= result.per_s.high


@pytest.mark.parametrize("wrk", [False, True])
def test_too_few_bodies_are_said_to_be_too_few(tmp_path, wrk):
    if wrk and wrk_version() is None:
        pytest.skip("wrk is not installed")
    path = tmp_path / "few.jsonl"
    path.write_text('{"a":1}\n' * 10)
    with pytest.raises((UnavailableError, ValueError), match="no body left"):
        measure_case(Case("echo", echo(), Bodies(path), path="/"), EFFORT, [0], tmp_path, wrk=wrk)


def test_all_kinds_of_bodies_are_written(tmp_path, router_folder):
    base = [f"prompt number {i} is one of many, {i} of them" for i in range(100)]
    found = write_all(tmp_path, base, router_folder, 500)
    assert set(found) == {"unseen", "seen", "features", "batch"}
    assert len(set(found["unseen"].path.read_text().splitlines())) == 500
    assert not found["unseen"].repeat
    assert found["seen"].repeat
    assert found["batch"].decisions == 64
    assert found["features"].path.read_text().startswith('{"features":"')
