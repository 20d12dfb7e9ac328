"""The loop on a real log store, a real MLflow registry and the file of experiments that servers follow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from beast_ml.errors import RegistryError, RegistryUnavailableError
from beast_ml.experiments.definitions import Experiment
from beast_ml.experiments.experiments_file import read_experiments
from beast_ml.experiments.followed import FollowedExperiments
from beast_ml.logs.simulate import simulate
from beast_ml.logs.simulate.config import PolicyConfig, SimulationConfig, TrafficConfig
from beast_ml.logs.store import LogStore
from beast_ml.operations.learning_loop.config import LoopConfig
from beast_ml.operations.learning_loop.live import LiveSurroundings
from beast_ml.operations.learning_loop.run import learn_once
from beast_ml.operations.learning_loop.state_file import StateFile
from beast_ml.operations.learning_loop.states import LoopState
from beast_ml.policy.learner import RouterLearner
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.connection import connect
from beast_ml.registry.loop_runs import digest_of, point_alias
from beast_ml.registry.promotion import promote
from beast_ml.testing.clock import FakeClock
from beast_ml.testing.router_fixtures import QUICK
from beast_ml.testing.worlds import make_world

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = 86_400.0
CONFIG = LoopConfig(
    every=timedelta(days=1), min_labelled=500, shadow_requests=50, canary_units=100, watch_for=timedelta(days=2)
)


def requests(seed, n, **columns):
    """Rows of a log that chose any model, with some columns replaced in all of them."""
    config = SimulationConfig(
        requests=n,
        policy=PolicyConfig(kind="uniform"),
        traffic=TrafficConfig(repeat_zipf=0.0),
    )
    world = make_world(np.random.default_rng(seed), n, prefix=f"w{seed}-")
    return [
        row | columns
        for table in simulate(world.outcomes, config, np.random.default_rng(seed))
        for row in table.to_pylist()
    ]


def at(rows, first, hours=20.0):
    """Give rows times, evenly from one on."""
    step = timedelta(hours=hours) / len(rows)
    for i, row in enumerate(rows):
        row["received_at"] = first + i * step
        row["feedback_at"] = row["received_at"]
    return rows


@pytest.fixture
def around(tmp_path, config):
    return LiveSurroundings(
        store=LogStore(tmp_path / "logs"),
        quarantine=tmp_path / "quarantine",
        tracking=config,
        experiments=tmp_path / "serving" / "experiments.json",
        folder=tmp_path / "learning",
        config=CONFIG,
        learner=RouterLearner("hashing", families=QUICK),
        clock=FakeClock(START),
    )


def append(around, rows):
    schema = around.store.requests().schema
    around.store.append_requests(pa.Table.from_pylist(rows, schema=schema))


def test_a_cycle_without_a_hand_whose_promotion_hurts_and_is_taken_back(tmp_path, around, register):
    file, clock = StateFile(tmp_path / "learning" / "loop.json"), around.clock
    first = register("the first").version
    promote(around.tracking, first)
    digest = digest_of(around.tracking, first)
    append(around, at(requests(2, 2_500, policy_version=digest), clock.now()))
    clock.advance(2 * DAY)
    report = learn_once(file, around, CONFIG)
    assert report.state.step == "shadow", report.state.finished[-1].reason
    candidate = report.state.candidate
    assert around.train(report.state.moved("train", "again", clock.now())) == candidate  # learnt once a cycle
    assert [each.shadow for each in read_experiments(around.experiments).running()] == ["shadow"]

    shadowed = at(requests(3, 120, policy_version=digest), clock.now())
    for row in shadowed:
        row["context"] = [("shadow_policy_version", digest_of(around.tracking, candidate))]
    append(around, shadowed)
    clock.advance(1 * DAY)
    report = learn_once(file, around, CONFIG)
    assert report.state.step == "canary"
    (running,) = read_experiments(around.experiments).running()
    assert {each.name: each.policy for each in running.variants} == {"control": "champion", "candidate": "challenger"}

    live = at(requests(4, 900, policy_version=digest, experiment_id=running.id), clock.now())
    for i, row in enumerate(live):
        row["variant"] = "candidate" if i % 3 == 0 else "control"
        row["quality"] = 0.7 + 0.2 * (i % 3 == 0)
    append(around, live)
    clock.advance(1 * DAY)
    report = learn_once(file, around, CONFIG)
    assert report.state.step == "watch", report.waiting
    assert around.champion() == candidate
    (running,) = read_experiments(around.experiments).running()
    assert {each.name for each in running.variants} == {"control", "former"}

    hurt = at(requests(5, 900, experiment_id=running.id), clock.now())
    for i, row in enumerate(hurt):
        row["variant"] = "former" if i % 4 == 0 else "control"
        row["quality"] = 0.95 if i % 4 == 0 else 0.6
    append(around, hurt)
    clock.advance(1 * DAY)
    ended = learn_once(file, around, CONFIG).state.finished[-1]
    assert (ended.verdict, ended.candidate) == ("rolled back", candidate)
    assert around.champion() == first
    assert read_experiments(around.experiments).running() == ()
    client = connect(around.tracking)
    aliases = client.get_registered_model("beast-router").aliases
    assert "challenger" not in aliases
    assert "shadow" not in aliases
    found = client.search_runs(
        [client.get_experiment_by_name(around.tracking.experiment).experiment_id], "tags.learning_loop = 'cycle 1'"
    )
    assert len(found) == 1
    assert found[0].data.tags["verdict"].startswith("rolled back")
    assert {f"step {step}" for step in ("canary", "promote", "watch", "roll_back")} <= set(found[0].data.tags)


def test_the_alias_of_somebody_elses_experiment_is_left_alone(around, register):
    first, second = register("the first").version, register("the second").version
    point_alias(around.tracking, "challenger", first)
    theirs = Experiment(id="theirs", tenants=("somebody",), shadow="challenger")
    FollowedExperiments(around.experiments).put(theirs)
    state = LoopState(entered_at=START, step="canary", champion=first, candidate=second, rows_until=START)
    with pytest.raises(RegistryError, match="'theirs' goes by the alias 'challenger'"):
        around.canary(state)
    aliases = connect(around.tracking).get_registered_model("beast-router").aliases
    assert int(aliases["challenger"]) == first
    assert [each.id for each in read_experiments(around.experiments).experiments] == ["theirs"]


def test_a_loop_that_begins_anew_takes_up_no_experiment_of_an_earlier_one(around, register):
    first, second = register("the first").version, register("the second").version
    earlier = LoopState(entered_at=START, step="shadow", champion=first, candidate=second, rows_until=START)
    around.shadow(earlier)
    around.conclude(earlier)
    assert read_experiments(around.experiments).running() == ()
    around.shadow(msgspec.structs.replace(earlier, rows_until=START + timedelta(days=1)))  # its state was removed
    assert [each.shadow for each in read_experiments(around.experiments).running()] == ["shadow"]


def test_clocks_that_are_wrong_are_told_and_a_registry_that_is_away_leaves_all_as_it_is(tmp_path, around):
    file = StateFile(tmp_path / "learning" / "loop.json")
    rows = at(requests(6, 700), START)
    for row in rows[::5]:
        row["feedback_at"] = START - timedelta(days=30)
    append(around, rows)
    around.clock.advance(1 * DAY)
    ended = learn_once(file, around, CONFIG).state.finished[-1]
    assert ended.verdict == "rejected"
    assert "labelled before they were received" in ended.reason
    around.clock.advance(2 * DAY)
    before = file.read()
    around.tracking = TrackingConfig("http://127.0.0.1:9")
    with pytest.raises(RegistryUnavailableError):
        learn_once(file, around, CONFIG)
    assert file.read() == before
