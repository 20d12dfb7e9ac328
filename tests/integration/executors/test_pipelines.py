"""The pipelines on a real cluster: the same files as on one machine, or one sentence and no file."""

import importlib.util
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from beast_ml.testing.dask_cluster import dask_cluster
from beast_ml.testing.worlds import make_world

pytestmark = pytest.mark.slow

PIPELINES = Path(__file__).parents[3] / "pipelines"


@pytest.fixture
def features(tmp_path: Path, migrated_store: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run pipelines/features.py in a folder with outcomes of a made-up world."""
    (tmp_path / "mlflow.db").write_bytes(migrated_store.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BEAST_CONFIG", raising=False)
    outcomes = make_world(np.random.default_rng(3), 60).outcomes
    rows = [
        {"query_id": query, "prompt": prompt, "task": task, "model": model, "quality": float(outcomes.quality[i, j])}
        for i, (query, prompt, task) in enumerate(
            zip(outcomes.query_ids, outcomes.prompts, outcomes.tasks, strict=True)
        )
        for j, model in enumerate(outcomes.models)
    ]
    pd = pytest.importorskip("pandas")
    pd.DataFrame(rows).to_parquet("outcomes.parquet")
    spec = importlib.util.spec_from_file_location("pipeline_features", PIPELINES / "features.py")
    pipeline = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pipeline)
    given = ["--outcomes", "outcomes.parquet", "--encoder", "hashing", "--use-task"]
    return lambda out, *more: pipeline.main([*given, "--out", out, *more])


def test_features_made_by_a_cluster_are_the_same_file_and_without_one_there_is_none(features, tmp_path, capsys):
    assert features("ours") == 0
    with dask_cluster(tmp_path, n_workers=2) as cluster:
        assert features("theirs", "--executor", "dask", "--scheduler", cluster.address) == 0
    for name in ("features.parquet", "spec.json"):
        assert (tmp_path / "theirs" / name).read_bytes() == (tmp_path / "ours" / name).read_bytes()
    capsys.readouterr()

    assert features("nobody", "--executor", "dask", "--scheduler", cluster.address) == 1
    assert f"error: no Dask scheduler answers at {cluster.address}" in capsys.readouterr().err
    assert not (tmp_path / "nobody").exists()
    with sqlite3.connect("mlflow.db") as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (2,)
