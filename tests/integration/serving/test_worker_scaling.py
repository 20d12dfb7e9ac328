"""Real load on a real server: a worker comes within a minute, and goes again, and no request notices."""

import sys
import time

import msgspec
import pytest

from beast_ml.benchmarks.serving.drive import Driver
from beast_ml.benchmarks.serving.load_plan import LoadPlan
from beast_ml.benchmarks.serving.payloads import routes, varied, write_bodies
from beast_ml.benchmarks.serving.subjects import Subject

# Bounds that a machine busy with other tests reaches, too; seconds in place of minutes.
SERVE = """
import sys, time
from beast_ml.cli.serving_process import create_app
from beast_ml.serving.supervisor import Supervision, supervise
from beast_ml.serving.worker_scaling import WorkerScaling

scaling = WorkerScaling(1, 2, busy=0.15, busy_s=1.0, calm=0.14, calm_s=2.0, clock=time.monotonic)
supervise(Supervision(create_app, "127.0.0.1", int(sys.argv[1]), 1, 5.0, scaling))
"""
WITHIN_S = 60.0


def _await(server, n_workers):
    until = time.monotonic() + WITHIN_S
    while len(server.workers()) != n_workers:
        assert time.monotonic() < until, f"{len(server.workers())} workers, not {n_workers}"
        time.sleep(0.1)


@pytest.mark.slow
def test_workers_come_and_go_with_the_load_and_no_request_fails(router_folder, tmp_path):
    write_bodies(tmp_path / "bodies.jsonl", routes(varied([f"What is {i} plus {i}?" for i in range(50)], 2_000)))
    environment = {
        "BEAST_SERVING__ROUTER": str(router_folder),
        "BEAST_SERVING__STATE": str(tmp_path / "state"),
        "BEAST_SERVING__COMPACT_S": "0",
    }
    subject = Subject("scaling", (sys.executable, "-c", SERVE, "{port}"), environment)
    with subject.start(tmp_path / "server") as server:
        plan = LoadPlan(
            port=server.port,
            path="/v1/route",
            bodies=str(tmp_path / "bodies.jsonl"),
            repeat=True,
            connections=8,
            warm_s=0.2,
            measure_s=2 * WITHIN_S,
            wait_s=30.0,
        )
        for rate, n_workers in ((None, 2), (10.0, 1)):
            with Driver(tmp_path).start(msgspec.structs.replace(plan, rate=rate)) as running:
                running.wait_for("measuring")
                _await(server, n_workers)
                time.sleep(0.5)  # the one that came, or the one that stayed, answers
                running.stop_sending()
                running.wait_for("measured")
                load = running.result()
            assert load.failures == {}
            assert load.answered > 0
