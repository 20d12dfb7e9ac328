import json
import math

import pytest

from beast_ml.errors import RegistryUnavailableError
from beast_ml.registry.tracking import TrainingRun, training_run


def read(run: TrainingRun):
    return run.client.get_run(run.id)


def artifacts(run: TrainingRun, folder=None):
    return [entry.path for entry in run.client.list_artifacts(run.id, folder)]


def test_a_training_leaves_a_finished_run_with_what_was_written(config, tmp_path):
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "frontier.png").write_bytes(b"png")
    with training_run(config, "quickstart", "**what** it is", {"data": "val"}) as run:
        run.params({"seed": 0, "pool": "a, b"})
        run.metrics({"evidence/quality_gain": 0.01})
        run.metrics({"loss": 1.0}, step=1)
        run.metrics({"loss": 0.5}, step=2)
        run.artifact(tmp_path / "plots", "plots")
        run.artifact(tmp_path / "plots" / "frontier.png")
        run.text("# Report", "report.md")
        run.describe("routing pays")
    record = read(run)
    assert record.info.status == "FINISHED"
    assert record.info.run_name == "quickstart"
    assert record.data.params == {"seed": "0", "pool": "a, b"}
    assert record.data.metrics == {"evidence/quality_gain": 0.01, "loss": 0.5}
    assert [m.step for m in run.client.get_metric_history(run.id, "loss")] == [1, 2]
    assert record.data.tags["mlflow.note.content"] == "routing pays"
    assert record.data.tags["data"] == "val"
    assert sorted(artifacts(run)) == ["frontier.png", "plots", "report.md"]
    assert artifacts(run, "plots") == ["plots/frontier.png"]


def test_children_stand_below_their_parent(config):
    with (
        training_run(config, "parent", "") as parent,
        parent.child("quality", "predicts quality", {"target": "quality"}, {"family": "mlp"}) as child,
    ):
        child.metrics({"ece": 0.02})
    record = read(child)
    assert record.data.tags["mlflow.parentRunId"] == parent.id
    assert record.data.tags["target"] == "quality"
    assert record.data.params == {"family": "mlp"}
    assert record.info.status == "FINISHED"


def test_a_failed_training_says_why_and_fails_its_open_children(config):
    with (
        pytest.raises(ValueError, match="one model only"),
        training_run(config, "parent", "") as parent,
        parent.child("quality", "") as child,
    ):
        raise ValueError("one model only")
    for run in (parent, child):
        assert read(run).info.status == "FAILED"
        assert read(run).data.tags["failure"] == "ValueError: one model only"


def test_an_interrupted_training_is_killed(config):
    with pytest.raises(KeyboardInterrupt), training_run(config, "parent", "") as run:
        raise KeyboardInterrupt
    assert read(run).info.status == "KILLED"


def test_a_store_lost_in_mid_training_does_not_hide_the_reason(config):
    def lose_store_and_fail():
        config.database.write_bytes(b"")
        raise ValueError("the reason")

    with pytest.raises(ValueError, match="the reason") as caught, training_run(config, "parent", ""):
        lose_store_and_fail()
    assert "could not be marked FAILED" in caught.value.__notes__[0]


def test_writing_to_a_lost_store_is_unavailable(config):
    with training_run(config, "parent", "") as run:
        pass
    config.database.write_bytes(b"")
    with pytest.raises(RegistryUnavailableError, match="no such table"):
        run.params({"seed": 1})


def test_names_that_mlflow_refuses_are_mended(config):
    with training_run(config, "parent", "") as run:
        run.metrics({"quality/meta/llama-3@70b+ft": 0.5, "//x": 1.0, "@": 2.0})
        run.params({"a(b)": 1})
        run.tags({"c=d": 1})
    data = read(run).data
    assert data.metrics == {"quality/meta/llama-3_70b_ft": 0.5, "x": 1.0, "_": 2.0}
    assert data.params == {"a_b_": "1"}
    assert data.tags["c_d"] == "1"


def test_more_entries_than_mlflow_takes_at_once(config):
    with training_run(config, "parent", "") as run:
        run.params({f"p{i}": i for i in range(250)})
        run.metrics({f"m{i}": i for i in range(1_100)})
    assert len(read(run).data.params) == 250
    assert len(read(run).data.metrics) == 1_100


def test_a_metric_that_is_not_a_number_stays_so(config):
    with training_run(config, "parent", "") as run:
        run.metrics({"auc": math.nan})
    assert math.isnan(read(run).data.metrics["auc"])


def test_datasets_are_inputs_with_their_whole_digest(config):
    digest = "0123456789abcdef" * 4
    with training_run(config, "parent", "") as run:
        run.dataset(
            "val",
            digest=digest,
            source="val.jsonl",
            context="training",
            columns={"prompt": "string"},
            profile={"rows": 3},
        )
        run.dataset("test", digest=digest, source="https://example.org/t.parquet", context="test")
    tagged = [({tag.key: tag.value for tag in i.tags}, i.dataset) for i in read(run).inputs.dataset_inputs]
    inputs = {tags["mlflow.data.context"]: dataset for tags, dataset in tagged}
    assert {tags["digest"] for tags, _ in tagged} == {digest}
    assert inputs["training"].digest == digest[:36]
    assert json.loads(inputs["training"].schema)["mlflow_colspec"][0]["name"] == "prompt"
    assert json.loads(inputs["training"].profile) == {"rows": 3}
    assert inputs["test"].source_type == "https"


def test_an_artifact_that_is_not_there_is_named(config, tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing-here"), training_run(config, "parent", "") as run:
        run.artifact(tmp_path / "nothing-here")


def test_mlflows_global_state_is_left_alone(config):
    import mlflow

    before = mlflow.get_tracking_uri()
    with training_run(config, "parent", ""):
        assert mlflow.active_run() is None
        assert mlflow.get_tracking_uri() == before
