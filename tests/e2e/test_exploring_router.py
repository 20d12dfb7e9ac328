"""From a simulated log to a router that explores, serves and logs: propensities are exact, and bounds are kept."""

from __future__ import annotations

import functools
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from beast_ml.logs.compaction import compact
from beast_ml.logs.store import LogStore
from beast_ml.policy import learner
from beast_ml.policy.decide import Constraints, rank_batch, utilities, worth_of_quality
from beast_ml.predictors.pool import Expected
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.resolve import resolve
from beast_ml.serving.router import Router
from beast_ml.testing.registry_fixtures import migrated_store  # noqa: F401 - fixtures are used by name
from beast_ml.testing.router_fixtures import QUICK
from beast_ml.testing.serving_fixtures import serving  # noqa: F401
from beast_ml.testing.worlds import make_world

MAX_LOSS, N_SERVED = 0.05, 1_200


def outcome_table(outcomes, path):
    """Write a world as users bring outcomes."""
    n, models = outcomes.n_queries, outcomes.models
    columns = {name: getattr(outcomes, name).ravel() for name in ("quality", "cost_usd", "latency_s")}
    ids = {name: np.repeat(np.array(getattr(outcomes, f)), len(models)) for name, f in IDS.items()}
    pd.DataFrame({**ids, "model": list(models) * n, **columns}).to_parquet(path)


IDS = {"query_id": "query_ids", "prompt": "prompts", "task": "tasks"}


def printed(beast, *arguments):
    code, out, error = beast(*arguments, "--json")
    assert code == 0, error
    return json.loads(out)


def rankings(router, prompts):
    """Return what is expected, and who is tried how often, by the router's policy."""
    seen = [each.expected for each in router.expect_many(prompts)]
    expected = Expected(
        *(np.concatenate([getattr(each, name) for each in seen]) for name in ("quality", "cost_usd", "latency_s")),
        None,
        np.concatenate([each.caution for each in seen]),
    )
    policy = router.bundle.policy
    return expected, rank_batch(policy, router.models, expected, Constraints.of(policy.objective))


@pytest.fixture
def router_folder(tmp_path):
    """Return a folder for `serving`, which the test replaces by what it has learnt."""
    return tmp_path


@pytest.mark.slow
def test_a_router_that_learnt_from_a_log_explores_within_its_bounds_and_logs_exact_propensities(
    beast,
    serving,  # noqa: F811 - fixtures are used by name
    tmp_path,
    migrated_store,  # noqa: F811
    monkeypatch,
):
    monkeypatch.setattr(learner, "RouterLearner", functools.partial(learner.RouterLearner, families=QUICK))
    shutil.copyfile(migrated_store, tmp_path / "mlflow.db")
    outcome_table(make_world(np.random.default_rng(0), 1_000).outcomes, tmp_path / "outcomes.parquet")
    simulated = ("--requests", 900, "--repeat-zipf", 0, "--epsilon", 0.15, "--model", "large")
    printed(beast, "logs", "simulate", "outcomes.parquet", "--out", "simulated", *simulated)
    trained = printed(beast, "train", "--log", "simulated", "--encoder", "hashing", "--explore", MAX_LOSS)
    assert trained["proposal"]["settings"]["max_loss"] == MAX_LOSS
    tracking = TrackingConfig(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "mlartifacts")
    folder = resolve(trained["uri"], tracking)

    live = make_world(np.random.default_rng(1), N_SERVED, prefix="l").outcomes
    server, told = serving(router=str(folder)), []
    for start in range(0, N_SERVED, 100):
        asked = [{"prompt": prompt} for prompt in live.prompts[start : start + 100]]
        decided = server.post("/v1/route/batch", {"requests": asked}).json()["decisions"]
        told += [
            {"request_id": each["request_id"], "quality": live.quality[start + i, live.models.index(each["model"])]}
            for i, each in enumerate(decided)
        ]
    for start in range(0, N_SERVED, 100):  # when all is decided: what is told shapes later decisions
        assert server.post("/v1/feedback", told[start : start + 100]).status_code == 200
    server.client.__exit__(None, None, None)  # the segment is sealed
    store = LogStore(tmp_path / "data" / "logs")
    assert compact(server.state / "segments", store, tmp_path / "quarantine").quarantined == {}
    served = store.requests()
    assert served.num_rows == N_SERVED

    # The propensity of each choice is what the policy says of that request, computed anew.
    router = Router.load(folder)
    policy, models = router.bundle.policy, router.models
    expected, ranked = rankings(router, served["prompt"].to_pylist())
    stated = np.zeros((N_SERVED, len(models)))
    for row, ranking in enumerate(ranked):
        stated[row, ranking.allowed[0]] = ranking.propensity
        for j, propensity in ranking.tried:
            stated[row, j] = propensity
    chosen = np.array([models.index(name) for name in served["chosen_model"].to_pylist()])
    rows = np.arange(N_SERVED)
    np.testing.assert_allclose(served["propensity"].to_numpy(), stated[rows, chosen], rtol=1e-3)

    # Exploring keeps to its bounds on each request, and happens as often as it says.
    how = policy.exploration
    first = np.array([ranking.allowed[0] for ranking in ranked])
    rate = 1.0 - stated[rows, first]
    worth = worth_of_quality(policy, expected)
    value = utilities(policy, expected) + worth * expected.caution
    lost = (stated * np.maximum(value[rows, first][:, None] - value, 0.0)).sum(axis=1) / worth
    assert rate.max() <= how.max_rate + 1e-9
    assert lost.max() <= how.max_loss + 1e-9
    explored = int((chosen != first).sum())
    assert explored > 50
    assert abs(explored - rate.sum()) < 4.0 * np.sqrt((rate * (1.0 - rate)).sum())
