"""`beast tune cache` in this process, over a log and over a simulated stream, with a registry in a file."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.connection import connect
from beast_ml.settings import load_settings
from beast_ml.testing.log_rows import routed_request, write_json_lines
from beast_ml.testing.registry_fixtures import migrated_store  # noqa: F401 - a fixture is used by name


@pytest.fixture
def registry(migrated_store, tmp_path):  # noqa: F811
    """An empty registry where the settings look for it."""
    shutil.copy(migrated_store, tmp_path / "mlflow.db")
    return TrackingConfig(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "mlartifacts")


@pytest.fixture
def log(beast, tmp_path):
    """Return the store of ten days in which thirty questions are asked again and again."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(400):
        minute = i * 36
        at = f"2026-03-{1 + minute // 1440:02}T{minute % 1440 // 60:02}:{minute % 60:02}:00Z"
        prompt = f"What is the boiling point of substance number {int(rng.integers(30))}?"
        rows.append(routed_request(request_id=f"r{i}", received_at=at, prompt=prompt, cost_usd=0.02, feedback_at=at))
    write_json_lines(tmp_path / "log.jsonl", rows)
    assert beast("logs", "ingest", "log.jsonl", "--store", "s")[0] == 0
    return "s"


@pytest.mark.slow
def test_a_log_is_tuned_on_recorded_and_turned_into_settings(beast, log, registry, tmp_path, monkeypatch):
    monkeypatch.setenv("BEAST_CACHE__LIFE_S", "600")  # nothing lives that long
    code, printed, said = beast("tune", "cache", "--store", log, "--trials", "3", "--json")
    assert code == 0, said
    found = json.loads(printed)
    assert found["trials"] == 4
    assert found["kept"] == "tuned"
    assert found["worth_usd"]["tuned"] > found["worth_usd"]["baseline"]

    written = yaml.safe_load(Path(found["settings"]).read_text())
    assert set(written["cache"]) == {"life_s", "lives_s", "memory_mb", "memory_entries", "memory_looked_at"}
    monkeypatch.delenv("BEAST_CACHE__LIFE_S")
    (tmp_path / "mlflow.yaml").write_text(Path(found["settings"]).read_text())
    assert load_settings(tmp_path).cache.life_s == written["cache"]["life_s"] > 600

    client = connect(registry)
    run = client.get_run(found["run_id"])
    assert run.data.metrics["tuned/worth_usd"] == pytest.approx(found["worth_usd"]["tuned"])
    children = client.search_runs(
        [run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{found['run_id']}'", max_results=10
    )
    assert {child.info.run_name for child in children} == {"baseline", "trial 1", "trial 2", "trial 3"}
    assert [each.path for each in client.list_artifacts(found["run_id"])] == ["mlflow.yaml"]


@pytest.mark.slow
def test_a_simulated_stream_shows_the_settings_in_force_beside_the_tuned_ones(beast, registry):
    code, printed, said = beast(
        "tune", "cache", "--simulate", "ordinary", "--requests", "600", "--trials", "2", "--data", "none"
    )
    assert code == 0, said
    assert "in force" in printed
    assert "stale_share" in printed
    assert "wrote beast-out/cache.yaml" in printed


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--store", "s", "--simulate", "ordinary"), "give --store or --simulate, not both"),
        (("--simulate", "calm"), "must be one of ordinary, hostile"),
        (("--store", "nothing"), "holds no log"),
        (("--simulate", "ordinary", "--requests", "200", "--data", "none"), "must be 100 in each"),
    ],
)
def test_what_cannot_be_tuned_is_one_sentence(beast, arguments, expected):
    code, _, said = beast("tune", "cache", *arguments)
    assert code in (1, 2)
    assert expected in " ".join(said.split())
