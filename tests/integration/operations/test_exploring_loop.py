"""`beast learn once` with `exploration` in mlflow.yaml: its champion explores, and that log makes the next champion.

Everything is real but the models that answer, whose outcomes a small world has. The first log comes from a world in
which one model was no better than another; since then it is nearly always right.
"""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from beast_ml.bundle.read import read_bundle
from beast_ml.experiments.experiments_file import EXPERIMENTS_FILE, read_experiments
from beast_ml.logs.compaction import compact
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.logs.simulate import simulate
from beast_ml.logs.simulate.config import PolicyConfig, SimulationConfig, TrafficConfig
from beast_ml.logs.store import LogStore
from beast_ml.operations.learning_loop.replay import replay
from beast_ml.policy import learner
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.loop_runs import digest_of
from beast_ml.registry.resolve import resolve
from beast_ml.serving.router import Router
from beast_ml.testing.router_fixtures import TINY
from beast_ml.testing.serving_fixtures import Api, serving  # noqa: F401 - a fixture is used by name
from beast_ml.testing.worlds import make_world

SETTINGS: Final = """
tracking: {{artifacts: {folder}/mlartifacts}}
serving: {{state: {folder}/state}}
learning: {{encoder: hashing, min_labelled: 300, every_days: 1.0e-6, canary_share: 0.5}}
exploration: {{max_loss: 0.2, max_rate: 0.4, min_propensity: 0.02}}
gates: {{min_test_queries: 25, max_excess_ece: 0.5, min_coverage: 0.0, max_coverage: 1.0}}
"""
GROWN: Final = 1
"""Position of the model that has become the best."""


def world(seed: int, n: int, grown: bool) -> OutcomeMatrix:
    """Return outcomes of questions of their own; one model is either as good as the others or nearly always right."""
    rng = np.random.default_rng(seed)
    outcomes = make_world(rng, n, prefix=f"{seed:02d}-").outcomes
    quality = outcomes.quality.copy()
    quality[:, GROWN] = rng.random(n) < (0.98 if grown else 0.8)
    return replace(outcomes, quality=quality)


class Deployment:
    """A folder with settings, a log, a registry, and servers that are started in it one after the other."""

    def __init__(self, folder: Path, beast: Callable[..., tuple[int, str, str]], serve: Callable[..., Api]) -> None:
        self.folder, self._beast, self._serve = folder, beast, serve
        self.tracking = TrackingConfig(f"sqlite:///{folder}/mlflow.db", folder / "mlartifacts")
        self.store = LogStore(folder / "data" / "logs")
        (folder / "mlflow.yaml").write_text(SETTINGS.format(folder=folder))

    def learn(self) -> dict[str, Any]:
        """Run `beast learn once`; return where the loop stands."""
        code, out, error = self._beast("learn", "once", "--json")
        assert code == 0, error
        return dict(json.loads(out))

    def bundle(self, version: int) -> Path:
        return resolve(f"models:/beast-router/{version}", self.tracking)

    def serve(self, champion: int, asked: OutcomeMatrix, **others: int) -> pa.Table:
        """Serve requests by a champion and whoever stands beside it; return what the log has of them."""
        api, before = self._serve(router=str(self.bundle(champion))), datetime.now(UTC)
        runtime, told, judged = api.worker.services.runtime, [], []
        runtime.router_for = {alias: Router.load(self.bundle(version)) for alias, version in others.items()}.get
        runtime.check_can_follow = runtime.follow_aliases = lambda _: None  # a folder has no aliases
        for start in range(0, asked.n_queries, 100):
            requests = [{"prompt": prompt} for prompt in asked.prompts[start : start + 100]]
            decided = api.post("/v1/route/batch", {"requests": requests}).json()["decisions"]
            for row, each in enumerate(decided, start):
                j = asked.models.index(each["model"])
                known = {"cost_usd": asked.cost_usd[row, j], "latency_s": 1.0, "output_tokens": 10}
                told.append({"request_id": each["request_id"], "served_model": each["model"], **known})
                judged.append({"request_id": each["request_id"], "quality": asked.quality[row, j]})
        for start in range(0, len(told), 100):
            assert api.post("/v1/outcomes", told[start : start + 100]).status_code < 300
            assert api.post("/v1/feedback", judged[start : start + 100]).status_code < 300
        api.client.__exit__(None, None, None)  # the segment is sealed
        assert compact(api.state / "segments", self.store, self.folder / "quarantine").quarantined == {}
        return self.store.requests(since=before)

    def check_propensities(self, rows: pa.Table, version: int) -> float:
        """Check that logged propensities are those of a version's policy; return how often it tried somebody else."""
        bundle = read_bundle(self.bundle(version))
        found = replay(bundle, rows["prompt"].to_pylist(), tenants=rows["tenant_id"].to_pylist())
        chosen, propensity = rows["chosen_model"].to_pylist(), rows["propensity"].to_numpy()
        np.testing.assert_allclose(propensity, found.probability_of(chosen), rtol=1e-3)
        assert set(rows["policy_version"].to_pylist()) == {digest_of(self.tracking, version)}
        # By right ones, choices of every model stand for the requests on which it could have been chosen.
        for j, name in enumerate(found.models):
            possible = found.probability[:, j]
            weight = np.array([name == each for each in chosen]) / np.where(possible > 0, possible, 1.0)
            error = np.sqrt(np.sum((1.0 - possible) / np.where(possible > 0, possible, 1.0) * (possible > 0)))
            assert abs(weight.sum() - (possible > 0).sum()) < 4.5 * error + 1e-6
        return float(np.mean([a != b for a, b in zip(chosen, found.choices, strict=True)]))


@pytest.fixture
def router_folder(tmp_path: Path) -> Path:
    """Return a folder for `serving`, which the test replaces by what it has learnt."""
    return tmp_path


@pytest.fixture
def deployment(
    tmp_path: Path,
    migrated_store: Path,
    beast: Callable[..., tuple[int, str, str]],
    serving: Callable[..., Api],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> Deployment:
    shutil.copyfile(migrated_store, tmp_path / "mlflow.db")
    monkeypatch.setattr(learner, "RouterLearner", functools.partial(learner.RouterLearner, families=TINY))
    return Deployment(tmp_path, beast, serving)


@pytest.mark.slow
def test_a_champion_that_explores_finds_a_model_that_has_grown_and_is_followed_by_one_that_uses_it(
    deployment: Deployment,
) -> None:
    config = SimulationConfig(
        requests=700, policy=PolicyConfig(kind="uniform"), traffic=TrafficConfig(repeat_zipf=0.0, paraphrase_share=0.0)
    )
    tables = simulate(world(1, 700, grown=False), config, np.random.default_rng(0))
    rows = [row for table in tables for row in table.to_pylist()]
    for i, row in enumerate(rows):
        row["received_at"] = row["feedback_at"] = datetime.now(UTC) - timedelta(days=2) + i * timedelta(seconds=1)
    deployment.store.append_requests(pa.Table.from_pylist(rows, schema=deployment.store.requests().schema))

    told = deployment.learn()
    (ended,) = told["state"]["finished"]
    assert (ended["verdict"], ended["candidate"]) == ("promoted", 1), ended["reason"]
    assert read_bundle(deployment.bundle(1)).policy.exploration is not None

    served = deployment.serve(1, world(2, 1_200, grown=True))
    assert deployment.check_propensities(served, 1) > 0.05
    told = deployment.learn()
    assert told["state"]["step"] == "shadow", told
    candidate = told["state"]["candidate"]
    assert read_bundle(deployment.bundle(candidate)).manifest.models == ("large", "medium", "small")

    shadowed = deployment.serve(1, world(3, 220, grown=True), shadow=candidate)
    assert deployment.check_propensities(shadowed, 1) > 0.0
    noted = [dict(context) for context in shadowed["context"].to_pylist()]
    prompts, tenants = shadowed["prompt"].to_pylist(), shadowed["tenant_id"].to_pylist()
    by_itself = replay(read_bundle(deployment.bundle(candidate)), prompts, tenants=tenants)
    stated = by_itself.probability_of([each["shadow_model"] for each in noted])
    np.testing.assert_allclose([float(each["shadow_propensity"]) for each in noted], stated, rtol=1e-3)
    assert deployment.learn()["state"]["step"] == "canary"
    (running,) = read_experiments(deployment.folder / "state" / EXPERIMENTS_FILE).running()

    live = deployment.serve(1, world(4, 900, grown=True), challenger=candidate)
    assert set(live["experiment_id"].to_pylist()) == {running.id}
    for variant, version in (("control", 1), ("candidate", candidate)):
        own = live.filter(pc.equal(live["variant"], variant))
        assert own.num_rows > 350
        deployment.check_propensities(own, version)
    told = deployment.learn()
    assert told["state"]["step"] == "watch", told
    assert told["state"]["proof"] is None or told["state"]["proof"]["low"] > 0
    assert read_bundle(deployment.bundle(candidate)).policy.exploration is not None
