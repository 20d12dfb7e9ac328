import dataclasses

import numpy as np
import pytest

from beast_ml.bundle.manifest import verify
from beast_ml.bundle.read import read_bundle
from beast_ml.bundle.remove_candidate import remove_candidate
from beast_ml.bundle.write import always_single
from beast_ml.errors import DataError, UnknownModelError
from beast_ml.experiments.experiments_file import EXPERIMENTS_FILE, Experiments, read_experiments, write_experiments
from beast_ml.operations.bundle_registration import register_bundle
from beast_ml.operations.challenger import make_challenger
from beast_ml.operations.retirement import retire, retirement_effect
from beast_ml.registry.promotion import promote
from beast_ml.registry.recorded_evidence import recorded_evidence
from beast_ml.registry.resolve import resolve_version
from beast_ml.testing.experiment_logs import experiment_of
from beast_ml.testing.registry import make_evidence
from beast_ml.testing.registry_fixtures import config, migrated_store  # noqa: F401 - fixtures are used by name
from beast_ml.testing.worlds import make_world


@pytest.fixture(scope="module")
def fresh():
    """Return outcomes that the router was not trained on."""
    return make_world(np.random.default_rng(99), 400).outcomes


@pytest.mark.parametrize("name", ["large", "medium", "small"])
def test_predictions_of_the_others_stay_to_the_bit(router_folder, loaded, world, tmp_path, name):
    remove_candidate(router_folder, tmp_path / "left", name, world.outcomes.prompts[:50])
    left = read_bundle(tmp_path / "left")
    kept = [j for j, model in enumerate(loaded.predictors.models) if model != name]
    assert left.manifest.models == tuple(loaded.predictors.models[j] for j in kept)
    rows = loaded.features.matrix(world.outcomes.prompts[:50])
    before, after = loaded.predictors, left.predictors
    for field, old in dataclasses.asdict(before.predict(rows)).items():
        new = getattr(after.predict(rows), field)
        assert (old is None) == (new is None)
        if old is not None:
            np.testing.assert_array_equal(new, old[:, kept])
    for old, new in zip(before.quality.interval(rows), after.quality.interval(rows), strict=True):
        np.testing.assert_array_equal(new, old[:, kept])
    for old, new in zip(before.cost.interval(rows), after.cost.interval(rows), strict=True):
        np.testing.assert_array_equal(new, old[:, kept])
    assert left.policy.model in left.manifest.models


def test_a_router_that_always_answers_with_it_gets_the_next_best(router_folder, world, tmp_path):
    always_single(router_folder, "large", tmp_path / "single")
    remove_candidate(tmp_path / "single", tmp_path / "left", "large", world.outcomes.prompts)
    policy = read_bundle(tmp_path / "left").policy
    assert (policy.kind, policy.model) == ("single", "medium")
    with pytest.raises(UnknownModelError, match="the pool is"):
        remove_candidate(router_folder, tmp_path / "none", "other", world.outcomes.prompts)


@pytest.mark.parametrize("name", ["medium", "large"])
def test_the_effect_covers_the_truth_both_ways(router_folder, fresh, tmp_path, name):
    remove_candidate(router_folder, tmp_path / "left", name, fresh.prompts)
    before, after = read_bundle(router_folder), read_bundle(tmp_path / "left")
    many = make_world(np.random.default_rng(5), 3_000).outcomes
    rng = np.random.default_rng(0)
    truth = retirement_effect(before, after, name, many.prompts, many, rng)
    measured = retirement_effect(before, after, name, fresh.prompts, fresh, rng)
    predicted = retirement_effect(before, after, name, fresh.prompts, None, rng)
    for found in (measured, predicted):
        assert found.quality.low <= truth.quality.mean <= found.quality.high
        assert found.cost.low <= truth.cost.mean <= found.cost.high
        assert found.share == pytest.approx(truth.share, abs=0.1)
        assert name not in found.heirs
        assert sum(found.heirs.values()) == pytest.approx(1.0)
    assert (measured.by, predicted.by) == ("outcomes", "predictions")
    assert truth.share > 0.1
    if name == "large":  # the dearest: what it answered costs less now, and is worse
        assert truth.cost.high < 0
        assert truth.quality.high < 0


def test_the_version_without_it_goes_through_the_gates(router_folder, fresh, world, config, tmp_path):  # noqa: F811
    digest = verify(router_folder).training_digest
    evidence = make_evidence(data_digest=digest, best_single_model="large", n_test_queries=400)
    register_bundle(router_folder, evidence, tracking=config, name="old")
    promote(config)
    source = resolve_version("models:/beast-router@champion", config, tmp_path / "cache")
    trained_on = dataclasses.replace(world.outcomes, ttft_s=0.2 * world.outcomes.latency_s)
    with pytest.raises(DataError, match="trained on"):
        retire(source, "medium", world.outcomes.prompts, trained_on, tracking=config)
    made = retire(source, "large", fresh.prompts[:40], None, tracking=config)
    assert made.registered.version == 2
    kept = recorded_evidence(2, config)
    assert kept == made.evidence
    # It was the best single model: another one is measured against, and nothing is claimed that nobody measured.
    assert kept.best_single_model != "large"
    assert kept.cost_saving is None
    assert kept.quality_gain.high - kept.quality_gain.low > evidence.quality_gain.high - evidence.quality_gain.low
    measured = retire(source, "small", fresh.prompts, fresh, tracking=config).evidence
    assert measured.n_test_queries == 400
    assert measured.best_single_quality == pytest.approx(fresh.quality[:, 0].mean())
    assert measured.cost_saving.low < measured.cost_saving.mean < measured.cost_saving.high

    state = tmp_path / "state"
    write_experiments(state / EXPERIMENTS_FILE, Experiments((experiment_of(status="running"),)))
    assert "experiment stop trial" in make_challenger(2, config, state)
    (running,) = read_experiments(state / EXPERIMENTS_FILE).experiments
    stopped = Experiments((experiment_of(status="stopped"),))
    write_experiments(state / EXPERIMENTS_FILE, stopped)
    assert running.status == "running"
    assert make_challenger(2, config, state) is None
    assert resolve_version("models:/beast-router@challenger", config, tmp_path / "cache").version == 2
