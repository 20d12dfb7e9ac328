"""`beast learn once` is killed at each step of a cycle, and in the middle of those that change the registry.

The processes are real, as are their deaths, the log, the registry and the experiments. Only how a candidate is learnt
is replaced, for time's sake: a bundle that lies ready is registered as a training registers one. What a training does
before that leaves nothing behind that is read again.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest

from beast_ml.bundle.write import always_single, with_policy
from beast_ml.domain import Objective
from beast_ml.experiments.experiments_file import EXPERIMENTS_FILE, read_experiments
from beast_ml.logs.simulate import simulate
from beast_ml.logs.simulate.config import PolicyConfig, SimulationConfig, TrafficConfig
from beast_ml.logs.store import LogStore
from beast_ml.operations.learning_loop.state_file import LOOP_FILE, StateFile
from beast_ml.operations.learning_loop.states import STEPS
from beast_ml.policy.spec import PolicySpec
from beast_ml.registry.champions import HISTORY_TAG
from beast_ml.registry.config import ROUTER, TrackingConfig
from beast_ml.registry.connection import connect
from beast_ml.registry.loop_runs import digest_of
from beast_ml.registry.models import register_router
from beast_ml.registry.promotion import promote
from beast_ml.registry.tracking import training_run
from beast_ml.testing.registry import make_evidence
from beast_ml.testing.registry_fixtures import Bundle
from beast_ml.testing.worlds import make_world

CARDS: Final = {part: f"# The {part}" for part in ("router", "encoder", "quality", "cost")}

COMMANDS = """
import json, os, signal, sqlite3, sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from beast_ml.cli import live_loop, main
from beast_ml.operations.learning_loop import live
from beast_ml.registry.evidence import Evidence
from beast_ml.registry.models import register_router
from beast_ml.registry.tracking import training_run

# All is imported before the forks: a process costs what its work does.
from beast_ml.cli import learn
from beast_ml.registry import connection
import beast_ml.operations.learning_loop.run, duckdb, pandas, pyarrow.parquet, sqlalchemy

STATE = Path("data/learning/loop.json")


def ready(logged, *, tracking, name, **_):
    told = json.loads(Path("candidate.json").read_text())
    tags = {"data": name}
    with training_run(tracking, f"train {name}", "", tags) as run:
        evidence = Evidence.from_json(json.dumps(told["evidence"]))
        features = np.array(told["features"], dtype=np.float32)
        return SimpleNamespace(registered=register_router(run, Path("candidate"), evidence, told["cards"], features))


def watch(kill_at):
    kind, _, what = kill_at.partition(":")
    words, phase = what.split("+"), 0

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def told(statement):  # dies after the transaction that holds such a statement
        nonlocal phase
        if phase == 2:
            die()
        elif phase == 1 and statement.startswith("COMMIT"):
            phase = 2
        elif phase == 0 and all(word in statement for word in words):
            phase = 1

    def hook(event, arguments):
        if event == "os.rename":
            target = Path(os.fsdecode(arguments[1])).name
            if kind == "leaving" and target == STATE.name and STATE.exists() and (
                json.loads(STATE.read_bytes())["step"] == what
            ):
                die()

    def connect(*arguments, **options):
        opened = connected(*arguments, **options)
        opened.set_trace_callback(told)
        return opened

    sys.addaudithook(hook)
    if kind == "sql":
        connected, sqlite3.dbapi2.connect = sqlite3.dbapi2.connect, connect


live.train_from_log = ready
for line in sys.stdin:
    kill_at = line.strip()
    child = os.fork()
    if not child:
        sys.stdout = os.fdopen(os.open("printed", os.O_WRONLY | os.O_CREAT | os.O_APPEND), "w")
        os.dup2(os.open("events", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        if kill_at:
            watch(kill_at)
        sys.argv = ["beast", "-v", "learn", "once"]
        main.run()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Deployment:
    """A folder in which `beast learn once` is run again and again, and killed when told to."""

    def __init__(self, folder: Path, bundle: Bundle) -> None:
        self.folder, self.events = folder, folder / "events"
        self.experiments = folder / "data" / "serving" / EXPERIMENTS_FILE
        self.tracking = TrackingConfig(f"sqlite:///{folder}/mlflow.db", folder / "mlartifacts")
        self.store = LogStore(folder / "data" / "logs")
        (folder / "mlflow.yaml").write_text(
            f"tracking: {{artifacts: {folder}/mlartifacts}}\nlearning: {{min_labelled: 300}}\n"
        )
        with_policy(
            bundle.folder, PolicySpec("router", "large", Objective(willingness_to_pay=1.0)), folder / "candidate"
        )
        always_single(bundle.folder, "large", folder / "champion")
        features = bundle.features
        with training_run(self.tracking, "the first", "") as run:
            first = register_router(run, folder / "champion", make_evidence(), CARDS, features).version
        promote(self.tracking, first)
        self.digest = digest_of(self.tracking, first)
        evidence = make_evidence(source="log", reference="logging_policy", logging_policy=self.digest)
        told = {"evidence": json.loads(evidence.to_json()), "features": features.tolist(), "cards": CARDS}
        (folder / "candidate.json").write_text(json.dumps(told))
        self._commands = subprocess.Popen(
            [sys.executable, "-c", COMMANDS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
        )

    def close(self) -> None:
        self._commands.communicate()

    def once(self, kill_at: str = "") -> int:
        """Run the command to its end, or to its death; return its exit code."""
        assert self._commands.stdin is not None
        assert self._commands.stdout is not None
        self._commands.stdin.write(f"{kill_at}\n")
        self._commands.stdin.flush()
        return int(self._commands.stdout.readline())

    def killed_at(self, *points: str) -> None:
        """Kill one run after the other at these points; the state can be read after each."""
        for point in points:
            assert self.once(point) == -signal.SIGKILL, (point, self.events.read_text()[-2000:])
            assert self.loop().read() is not None, point

    def loop(self) -> StateFile:
        return StateFile(self.folder / "data" / "learning" / LOOP_FILE)

    def append(self, rows: list[dict[str, Any]]) -> None:
        self.store.append_requests(pa.Table.from_pylist(rows, schema=self.store.requests().schema))

    def running(self) -> str:
        (experiment,) = read_experiments(self.experiments).running()
        return experiment.id

    def check_the_end(self) -> None:
        """Check that all is left as by a cycle that nobody disturbs: rolled back, once."""
        client, state = connect(self.tracking), self.loop().read()
        assert state is not None
        assert (state.step, state.cycle) == ("collect", 2)
        assert [(each.verdict, each.champion, each.candidate) for each in state.finished] == [("rolled back", 1, 2)]
        model = client.get_registered_model(ROUTER)
        assert {name: int(version) for name, version in model.aliases.items()} == {"champion": 1}
        assert model.tags[HISTORY_TAG] == "1"
        versions = client.search_model_versions(f"name = '{ROUTER}'")
        assert sorted(int(each.version) for each in versions) == [1, 2]
        place = [client.get_experiment_by_name(self.tracking.experiment).experiment_id]
        (run,) = client.search_runs(place, "tags.learning_loop LIKE 'cycle%'")
        assert run.info.status == "FINISHED"
        assert run.data.tags["verdict"].startswith("rolled back")
        assert {f"step {step}" for step in STEPS} <= set(run.data.tags)
        experiments = read_experiments(self.experiments).experiments
        assert sorted(each.id.rpartition("-")[2] for each in experiments) == ["canary", "shadow", "watch"]
        assert {each.status for each in experiments} == {"stopped"}
        events = [json.loads(line) for line in self.events.read_text().splitlines() if line.startswith("{")]
        moves = [(each["left"], each["entered"]) for each in events if each["event"] == "learning_loop.moved"]
        assert list(dict.fromkeys(moves)) == list(zip(STEPS, (*STEPS[1:], "collect"), strict=True))


def requests(seed: int, n: int, first: datetime, hours: float, **columns: Any) -> list[dict[str, Any]]:
    config = SimulationConfig(requests=n, policy=PolicyConfig(kind="uniform"), traffic=TrafficConfig(repeat_zipf=0.0))
    world = make_world(np.random.default_rng(seed), n, prefix=f"w{seed}-")
    tables = simulate(world.outcomes, config, np.random.default_rng(seed))
    rows = [row | {"user_id": None} | columns for table in tables for row in table.to_pylist()]
    for i, row in enumerate(rows):
        row["received_at"] = row["feedback_at"] = first + i * timedelta(hours=hours) / n
    return rows


@pytest.fixture
def at(tmp_path: Path, migrated_store: Path, small_bundle: Bundle) -> Iterator[Deployment]:
    """Return a deployment whose champion always answers with one model, and whose next candidate never does."""
    shutil.copyfile(migrated_store, tmp_path / "mlflow.db")
    deployment = Deployment(tmp_path, small_bundle)
    yield deployment
    deployment.close()


@pytest.mark.slow
def test_a_cycle_that_is_killed_at_each_step_promotes_once_loses_nothing_and_is_taken_back(
    at: Deployment,
) -> None:
    at.append(requests(2, 400, datetime.now(UTC) - timedelta(days=2), 20.0, policy_version=at.digest))
    at.killed_at(
        "leaving:collect",
        "leaving:validate",
        "sql:INSERT INTO model_versions",  # the first part is registered, the router is not
        "sql:INSERT INTO model_versions+beast-router",
        "leaving:train",
        "leaving:evaluate",
    )
    assert at.once() == 0
    state = at.loop().read()
    assert state is not None
    assert state.step == "shadow", state
    assert state.candidate is not None

    shadowed = requests(3, 210, datetime.now(UTC), 0.001, policy_version=at.digest)
    for row in shadowed:
        row["context"] = [("shadow_policy_version", digest_of(at.tracking, state.candidate))]
    at.append(shadowed)
    at.killed_at("leaving:shadow", "sql:registered_model_aliases+challenger")
    assert at.once() == 0

    live = requests(4, 700, datetime.now(UTC), 0.001, policy_version=at.digest, experiment_id=at.running())
    for i, row in enumerate(live):
        row["variant"] = "candidate" if i % 3 == 0 else "control"
        row["quality"] = 0.7 + 0.2 * (i % 3 == 0)
    at.append(live)
    at.killed_at("leaving:canary", "sql:registered_model_aliases+champion", "leaving:promote")
    assert at.once() == 0
    state = at.loop().read()
    assert state is not None
    assert state.step == "watch", state.reason

    hurt = requests(5, 700, datetime.now(UTC), 0.001, experiment_id=at.running())
    for i, row in enumerate(hurt):
        row["variant"] = "former" if i % 4 == 0 else "control"
        row["quality"] = 0.95 if i % 4 == 0 else 0.6
    at.append(hurt)
    at.killed_at("leaving:watch", "sql:registered_model_aliases+champion", "leaving:roll_back", "leaving:conclude")
    assert at.once() == 0
    at.check_the_end()
