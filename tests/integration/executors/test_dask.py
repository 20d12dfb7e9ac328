"""A real cluster of a scheduler and two workers, each a process: what it gives is what one process gives."""

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from beast_ml.errors import ClusterError, DataError
from beast_ml.executors.dask import DaskExecutor
from beast_ml.features.hashing import HashingEncoder
from beast_ml.features.table import feature_table
from beast_ml.logs.store import LogStore
from beast_ml.policy.learner import RouterLearner
from beast_ml.predictors.families.contract import Problem
from beast_ml.predictors.families.distributed_trees import grow_distributed
from beast_ml.predictors.families.selection import FamiliesConfig
from beast_ml.predictors.families.trees import fit_trees, tree_parameters
from beast_ml.predictors.network import NetworkConfig
from beast_ml.predictors.pool import PoolFamilies
from beast_ml.testing.costly_logs import costly_log
from beast_ml.testing.dask_cluster import DaskCluster, dask_cluster
from beast_ml.testing.worlds import make_world

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    with dask_cluster(tmp_path_factory.mktemp("dask")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def executor(cluster: DaskCluster) -> Iterator[DaskExecutor]:
    with DaskExecutor.connect(cluster.address) as executor:
        yield executor


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LogStore:
    """Five days, to which outcomes and labels came later."""

    def prompted(row: dict[str, object]) -> None:
        row["prompt"] = f"What is {row['request_id']}?"

    store = costly_log(tmp_path_factory.mktemp("store") / "log", days=5, per_day=40, change=prompted)
    asked = store.requests(["request_id", "received_at"])
    late = asked.slice(20, 100)
    times = [time + timedelta(hours=30) for time in late["received_at"].to_pylist()]
    ids, n = late["request_id"], late.num_rows
    store.append_outcomes(pa.table({"request_id": ids, "observed_at": times, "cost_usd": np.arange(n) / 1e4}))
    store.append_feedback(
        pa.table({"request_id": ids, "feedback_at": times, "quality": np.arange(n) / n, "quality_source": ["user"] * n})
    )
    return store


def test_parts_are_answered_in_their_order_by_more_than_one_process(executor):
    def work(part: int, shared: np.ndarray) -> tuple[int, float, int]:
        return part, float(shared.sum()), os.getpid()

    answers = list(executor.map(work, iter(range(8)), np.ones(1000)))
    assert [answer[:2] for answer in answers] == [(part, 1000.0) for part in range(8)]
    assert len({pid for _, _, pid in answers} - {os.getpid()}) == 2


def test_a_log_is_scanned_by_day_to_the_same_rows(executor, store):
    assert store.requests(executor=executor).equals(store.requests())
    where = {"where": "status = 'ok'", "columns": ["request_id", "quality", "cost_usd"]}
    assert store.requests(executor=executor, **where).equals(store.requests(**where))
    ours, theirs = store.logged_outcomes(), store.logged_outcomes(executor=executor)
    assert ours.matrix.digest() == theirs.matrix.digest()
    assert np.array_equal(ours.feedback_at, theirs.feedback_at, equal_nan=True)


def test_features_are_the_same_to_the_bit(executor, monkeypatch):
    monkeypatch.setattr("beast_ml.features.spec._PART_PROMPTS", 16)
    outcomes = make_world(np.random.default_rng(3), 100).outcomes
    ours = feature_table(outcomes, HashingEncoder(), ["task"])
    assert feature_table(outcomes, HashingEncoder(), ["task"], executor).digest() == ours.digest()


def test_the_static_encoder_goes_to_the_workers_and_gives_the_same_vectors(executor, distilled, monkeypatch):
    monkeypatch.setattr("beast_ml.features.spec._PART_PROMPTS", 16)
    outcomes = make_world(np.random.default_rng(4), 60).outcomes
    ours = feature_table(outcomes, distilled)
    assert feature_table(outcomes, distilled, executor=executor).digest() == ours.digest()


def problem(executor=None) -> Problem:
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((400, 12)).astype(np.float32)
    targets = np.clip(rows[:, :2] * 0.3 + 0.5 + rng.normal(0, 0.05, (400, 2)), 0, 1)
    targets[rng.random(targets.shape) < 0.1] = np.nan
    folds, tasks = rng.integers(0, 5, 400), np.zeros(400, dtype=np.intp)
    made = Problem(rows, targets, folds, "probability", tasks)
    return made if executor is None else dataclasses.replace(made, executor=executor)


def test_trees_that_workers_fit_are_the_same_to_the_bit(executor):
    ours, theirs = fit_trees(problem(), 1), fit_trees(problem(executor), 1)
    assert np.array_equal(ours.out_of_fold, theirs.out_of_fold)
    rows = problem().rows[:50]
    assert np.array_equal(ours.predict(rows), theirs.predict(rows))


def test_a_router_that_a_cluster_trained_is_the_same_to_the_bit(executor):
    made = make_world(np.random.default_rng(6), 100).outcomes
    outcomes = dataclasses.replace(made, tasks=np.full(made.n_queries, ""))
    # What is served is distilled here, from what the workers fitted: no student makes the test quick.
    quality, amounts = (
        FamiliesConfig(members, NetworkConfig(), student=None) for members in (("ridge", "trees"), ("ridge",))
    )
    learner = RouterLearner("hashing", families=PoolFamilies(quality, amounts))
    ours, theirs = (each.fit(outcomes, "none") for each in (learner, dataclasses.replace(learner, executor=executor)))
    assert "trees" in {score.name for score in theirs.pool.targets["quality"].families}
    assert np.array_equal(ours.pool.out_of_fold.quality, theirs.pool.out_of_fold.quality)
    rows = ours.rows(outcomes.prompts[:20])
    assert np.array_equal(ours.pool.undistilled(rows).quality, theirs.pool.undistilled(rows).quality)
    assert ours.operating_point == theirs.operating_point


def test_trees_grown_by_all_workers_together_are_close_to_local_ones(executor):
    import lightgbm

    made = problem()
    y = np.nan_to_num(made.targets[:, 0], nan=0.5)
    parameters = {**tree_parameters("squared", 1), "feature_fraction": 1.0, "bagging_fraction": 1.0}
    local = lightgbm.train(parameters, lightgbm.Dataset(made.rows, y))
    together = grow_distributed(executor, lambda cut: cut, [(made.rows[i::4], y[i::4]) for i in range(4)], parameters)
    assert isinstance(together, lightgbm.Booster)
    again = lightgbm.Booster(model_str=together.model_to_string())
    assert np.array_equal(again.predict(made.rows), together.predict(made.rows))
    apart = again.predict(made.rows) - local.predict(made.rows)
    assert np.sqrt(np.mean(apart**2)) < 0.1 * y.std()


def kept_by_workers(executor) -> int:
    """Return bytes of arrays that the workers keep."""
    return sum(
        executor.client.run(
            lambda dask_worker: sum(getattr(v, "nbytes", 0) for v in dask_worker.data.values())
        ).values()
    )


def test_what_is_shared_is_sent_once_and_let_go_when_nobody_has_it_any_more(executor):
    def work(part: int, array: np.ndarray, more: dict[str, np.ndarray]) -> float:
        return part + array[0] + more["a"][0]

    before = kept_by_workers(executor)
    array = np.ones(1_000_000)
    for _ in range(2):
        assert list(executor.map(work, range(3), array, {"a": np.ones(500_000)})) == [2.0, 3.0, 4.0]
        assert len(executor._sent) == 1  # a dict is let go at once, since nobody can tell whether it is used
    del array
    assert executor._sent == []
    ends = time.monotonic() + 30.0
    while kept_by_workers(executor) > before and time.monotonic() < ends:
        time.sleep(0.05)
    assert kept_by_workers(executor) <= before


def test_a_worker_of_another_release_that_joins_later_works_on_nothing(cluster, executor, tmp_path):
    told = tmp_path / "duckdb-0.0.1.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: duckdb\nVersion: 0.0.1\n")
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    command = [sys.executable, "-m", "dask", "worker", cluster.address, "--no-dashboard", "--nthreads", "1"]
    more = ["--local-directory", str(tmp_path), "--name", "other"]
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen([*command, *more], stdout=log, stderr=log, env=os.environ | {"PYTHONPATH": path})
    try:
        executor.client.wait_for_workers(3, timeout=60)
        with pytest.raises(ClusterError, match=r"workers run other versions: duckdb 0\.0\.1 on tcp://"):
            list(executor.map(abs, range(50)))
        with pytest.raises(ClusterError, match=r"duckdb 0\.0\.1"):
            grow_distributed(executor, lambda cut: cut, [1], {})
    finally:
        worker.terminate()
        worker.wait(30)
    assert list(executor.map(abs, range(3))) == [0, 1, 2]


def test_a_worker_that_dies_takes_no_part_with_it(executor, tmp_path):
    died = tmp_path / "died"

    def work(part: int, shared: np.ndarray) -> float:
        if part == 3 and not died.exists():
            died.touch()
            os._exit(1)
        return part + float(shared.sum())

    assert list(executor.map(work, range(6), np.ones(10))) == [part + 10.0 for part in range(6)]
    assert died.exists()


def test_what_a_part_raises_on_purpose_is_raised_here_at_once(executor, tmp_path):
    (tmp_path / "day=2026-03-01").mkdir()
    (tmp_path / "day=2026-03-01" / "part-000000-x.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="cannot be read"):
        LogStore(tmp_path).requests(executor=executor)


def test_a_part_that_fails_by_itself_is_tried_again_and_then_named(executor, tmp_path):
    def work(part: int) -> None:
        with (tmp_path / "tries").open("a") as tries:
            tries.write("x")
        raise ZeroDivisionError("in the middle")

    with pytest.raises(ClusterError, match=r"`work` failed on a worker, 3 times: ZeroDivisionError: in the middle"):
        list(executor.map(work, [1]))
    assert (tmp_path / "tries").read_text() == "xxx"


def test_a_scheduler_that_goes_away_is_one_error(tmp_path):
    with (
        dask_cluster(tmp_path, n_workers=1) as cluster,
        DaskExecutor.connect(cluster.address) as executor,
    ):
        answers = executor.map(abs, iter(range(-100, 0)))
        assert next(answers) == 100
        cluster.scheduler.kill()
        with pytest.raises(ClusterError, match=r"scheduler is gone|no worker has been left"):
            list(answers)


def test_nobody_who_answers_is_one_error():
    with pytest.raises(ClusterError, match=r"no Dask scheduler answers at tcp://127.0.0.1:1 .*dask scheduler"):
        DaskExecutor.connect("tcp://127.0.0.1:1", timeout_s=1)
