"""What of a search comes into MLflow and into the file, from trials that are made up."""

import shutil
from dataclasses import replace

import msgspec
import numpy as np
import pytest
import yaml

from beast_ml.evaluation.bootstrap import Estimate
from beast_ml.operations.router_tuning.nested import NestedTuning, OuterFold, ProvenGain, TuningPlan
from beast_ml.operations.router_tuning.record import gain_sentence, record_router_tuning, settings_file
from beast_ml.operations.router_tuning.search import Trial
from beast_ml.operations.router_tuning.search_space import SearchSpace
from beast_ml.policy.learner_settings import LearnerSettings
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.connection import connect
from beast_ml.testing.registry_fixtures import migrated_store  # noqa: F401 - a fixture is used by name
from beast_ml.testing.worlds import make_world

SPACE = SearchSpace(("hashing",))
DEFAULTS = Trial(0, SPACE.defaults, SPACE.default_params, False, 0.5, 0.0, 0.0, 0.8, 0.01, None)
PARAMS = {**SPACE.default_params, "prior_queries": 80.0, "quality_target": 0.9}
BETTER = Trial(1, SPACE.settings(PARAMS), PARAMS, False, 0.6, 0.1, 0.01, 0.85, 0.01, None)
PRUNED = Trial(2, SPACE.settings(PARAMS), PARAMS, True, 0.1, -0.4, 0.01, 0.5, 0.01, None)


def tuning(low):
    same, more = Estimate(0.5, 0.4, 0.6), Estimate(0.02, low, 0.03)
    gain = ProvenGain(same, same, more, same, same, more, same, same)
    trials = (DEFAULTS, BETTER, PRUNED)
    return NestedTuning(gain, (OuterFold(trials, BETTER),), trials, BETTER, SPACE.defaults, 300)


def test_what_is_proven_is_kept_at_the_quality_that_was_asked_for():
    proven = tuning(0.01)
    assert (proven.kept.prior_queries, proven.kept.quality_target) == (80.0, 1.0)
    assert proven.kept_at(0.95).quality_target == 0.95
    assert "0.020 [0.010, 0.030]" in gain_sentence(proven.gain)


def test_what_is_not_proven_leaves_the_defaults_and_says_so():
    unproven = tuning(-0.01)
    assert unproven.kept == SPACE.defaults
    text = settings_file(unproven, unproven.kept, "outcomes.parquet")
    assert "the defaults stay" in text
    assert msgspec.convert(yaml.safe_load(text), LearnerSettings) == SPACE.defaults


def test_every_trial_is_a_child_run(migrated_store, tmp_path):  # noqa: F811
    shutil.copyfile(migrated_store, tmp_path / "mlflow.db")
    tracking = TrackingConfig(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts")
    (tmp_path / "trials.png").write_bytes(b"a picture")
    found, outcomes = tuning(0.01), make_world(np.random.default_rng(0), 20).outcomes
    plan = TuningPlan(3, 2, 2, SPACE, "world")
    run_id = record_router_tuning(found, found.kept, plan, outcomes, "w.parquet", tmp_path / "trials.png", tracking)
    client = connect(tracking)
    run = client.get_run(run_id)
    assert run.data.metrics["outer/worth"] == pytest.approx(0.02)
    assert run.data.metrics["outer/worth_low"] == pytest.approx(0.01)
    children = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'")
    assert len(children) == 6
    everything = [child for child in children if child.data.tags["part"] == "on everything"]
    assert {child.info.run_name for child in everything} == {
        f"on everything: {n}" for n in ("defaults", "trial 1", "trial 2")
    }
    assert [child.data.tags["pruned"] for child in everything].count("True") == 1
    assert {path.path for path in client.list_artifacts(run_id)} == {"router.yaml", "plots"}


def test_searches_that_all_kept_the_defaults_are_said_to():
    assert "no trial beat the defaults" in gain_sentence(replace(tuning(0.01).gain, worth=Estimate(0.0, 0.0, 0.0)))
