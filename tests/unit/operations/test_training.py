"""One small training, looked at from all sides: the files it leaves, the numbers it logs, what it registers."""

import dataclasses
import shutil

import mlflow
import numpy as np
import pytest

from beast_ml.bundle.manifest import verify
from beast_ml.errors import DataError, NotEnoughDataError
from beast_ml.evaluation.routing import RoutingConfig
from beast_ml.operations.cards import model_cards
from beast_ml.operations.evidence import evidence_of, interval_coverage
from beast_ml.operations.training import split_for_test, train
from beast_ml.policy.learner import RouterLearner
from beast_ml.predictors.families.selection import FamiliesConfig
from beast_ml.predictors.network import NetworkConfig
from beast_ml.predictors.pool import PoolFamilies
from beast_ml.registry.config import TrackingConfig
from beast_ml.registry.resolve import resolve
from beast_ml.serving.router import Router
from beast_ml.testing.registry_fixtures import migrated_store  # noqa: F401 - a fixture
from beast_ml.testing.worlds import WORLD_MODELS, make_world

NETWORK = NetworkConfig(hidden=(16,), dropout=0.1, epochs=4, learning_rate=1e-2)
TINY = FamiliesConfig(("network",), NETWORK, student=NETWORK)
FAMILIES = PoolFamilies(TINY, TINY)
LEARNER = RouterLearner("hashing", families=FAMILIES)


@pytest.fixture(scope="module")
def parts():
    return split_for_test(make_world(np.random.default_rng(21), 400).outcomes)


@pytest.fixture(scope="module")
def tracking(migrated_store, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("tracking")
    shutil.copyfile(migrated_store, folder / "mlflow.db")
    return TrackingConfig(f"sqlite:///{folder}/mlflow.db", folder / "artifacts")


@pytest.fixture(scope="module")
def said():
    return []


@pytest.fixture(scope="module")
def trained(parts, tracking, said):
    config = RoutingConfig(n_resamples=50)
    return train(*parts, tracking=tracking, learner=LEARNER, config=config, name="a world", say=said.append)


@pytest.fixture(scope="module")
def client(tracking, trained):
    return mlflow.MlflowClient(tracking.uri)


def test_no_question_is_on_both_sides_of_the_split():
    outcomes = make_world(np.random.default_rng(0), 300).outcomes
    doubled = dataclasses.replace(outcomes, prompts=tuple(outcomes.prompts[i // 2] for i in range(300)))
    training, test = split_for_test(doubled)
    assert not set(training.prompts) & set(test.prompts)
    assert training.n_queries + test.n_queries == 300
    assert 30 < test.n_queries < 90
    assert split_for_test(doubled, seed=1)[1].digest() != test.digest()


def test_one_question_cannot_be_split():
    outcomes = make_world(np.random.default_rng(0), 3).outcomes
    with pytest.raises(NotEnoughDataError, match="3 queries with 1 different questions cannot be split"):
        split_for_test(dataclasses.replace(outcomes, prompts=("why?",) * 3))


def test_the_registered_router_is_the_one_that_was_evaluated(trained, tracking, parts, tmp_path):
    folder = resolve(f"models:/beast-router/{trained.registered.version}", tracking, tmp_path)
    assert verify(folder) == trained.manifest
    assert trained.manifest.run_ids == {"training": trained.run_id}
    router = Router.load(folder)
    expected = trained.router.predict(parts[1].prompts[:20])
    for i, prompt in enumerate(parts[1].prompts[:20]):
        qualities = [forecast.quality.value for forecast in router.forecast(prompt)]
        np.testing.assert_allclose(qualities, expected.quality[i], rtol=1e-5)


def test_evidence_is_from_the_test_queries(trained, parts):
    evidence = trained.evidence
    assert (evidence.n_train_queries, evidence.n_test_queries) == tuple(part.n_queries for part in parts)
    assert evidence.data_digest == parts[0].digest()
    assert evidence.best_single_model in WORLD_MODELS
    assert evidence.quality_gain.low <= evidence.quality_gain.mean <= evidence.quality_gain.high
    assert 0.75 < evidence.cost_coverage <= 1.0
    assert evidence.cost_unit == "USD"
    test = parts[1]
    best = list(test.models).index(evidence.best_single_model)
    assert evidence.best_single_quality == pytest.approx(test.quality[:, best].mean())
    assert evidence.best_single_cost == pytest.approx(test.cost_usd[:, best].mean())


def test_coverage_is_the_share_of_realised_costs_inside(trained, parts):
    test, router = parts[1], trained.router
    rows = router.rows(test.prompts)
    low, high = router.pool.predictors.cost.interval(rows)
    expected = np.mean((low <= test.cost_usd) & (test.cost_usd <= high))
    assert interval_coverage(router, test, rows) == pytest.approx(expected)
    half = test.cost_usd.copy()
    half[::2] = np.nan
    assert 0.5 < interval_coverage(router, dataclasses.replace(test, cost_usd=half), rows) <= 1.0
    assert interval_coverage(router, dataclasses.replace(test, cost_usd=np.full_like(half, np.nan)), rows) is None
    in_seconds = interval_coverage(dataclasses.replace(router, cost="latency_s"), test, rows)
    assert 0.7 < in_seconds <= 1.0


def test_without_cost_the_evidence_has_none(trained, parts):
    evidence = evidence_of(trained.evaluation, dataclasses.replace(trained.router, cost="none"), parts[1])
    assert evidence.router_cost is evidence.cost_saving is evidence.cost_coverage is evidence.cost_unit is None


def test_the_run_holds_what_an_analyst_looks_for(trained, client, parts):
    run = client.get_run(trained.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["encoder"] == "hashing"
    assert run.data.params["training_queries"] == str(parts[0].n_queries)
    assert run.data.tags["routing pays"] == ("yes" if trained.evaluation.verdict.pays else "no")
    assert {"aiq/beast", "aiq/beast_low", "brier_by_task/code"} <= set(run.data.metrics)
    assert all(np.isfinite(value) for value in run.data.metrics.values())
    assert {item.dataset.digest[:8] for item in run.inputs.dataset_inputs} == {part.digest()[:8] for part in parts}


def test_every_target_has_a_child_run_with_its_losses(trained, client):
    experiment = client.get_run(trained.run_id).info.experiment_id
    children = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{trained.run_id}'")
    by_target = {child.data.tags["target"]: child for child in children}
    kind = by_target.pop("request_kind")
    assert kind.data.params["kinds"] == "code, conversation, maths, translation"
    assert kind.data.metrics["macro_f1_out_of_fold"] == trained.router.pool.kind.report["macro_f1_out_of_fold"]
    assert set(by_target) == set(trained.router.pool.targets)
    priced = by_target.pop("cost")  # price x tokens: nothing of its own is learnt
    assert priced.data.metrics["coverage_out_of_fold"] > 0.8
    for child in by_target.values():
        history = client.get_metric_history(child.info.run_id, "loss/held_out_folds")
        assert [point.step for point in history] == list(range(1, TINY.network.epochs + 1))
        families = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{child.info.run_id}'")
        competed = {run.data.tags["family"]: run.data for run in families}
        assert {"prior", "network"} <= set(competed)
        assert [name for name, run in competed.items() if run.tags["chosen"] == "yes"] == [child.data.tags["family"]]
        assert all({"routing_error", "squared_error", "rank"} <= set(run.metrics) for run in competed.values())


def test_plots_and_the_report_are_kept(trained, client, tmp_path):
    names = {file.path for folder in ("plots", "evaluation") for file in client.list_artifacts(trained.run_id, folder)}
    assert names == {
        "plots/calibration.png",
        "plots/cost.png",
        "plots/frontier.png",
        "plots/learning.png",
        "evaluation/report.json",
        "evaluation/decisions.parquet",
    }
    path = client.download_artifacts(trained.run_id, "plots/calibration.png", str(tmp_path))
    with open(path, "rb") as image:  # noqa: PTH123 - what mlflow gave back
        assert image.read(8) == b"\x89PNG\r\n\x1a\n"


def test_it_says_what_it_does(trained, said):
    assert said[-1] == "registering in MLflow"


def test_cards_say_what_it_is_and_how_good(trained):
    verdict = trained.evaluation.verdict.sentence
    cards = model_cards(trained.router, verdict, trained.evidence, "a world")
    assert set(cards) == {"router", "encoder", "quality", "cost", "latency"}
    assert cards["router"].startswith(f"**{verdict}**")
    assert "Tells 4 kinds of request apart (code, conversation, maths, translation): macro-F1 " in cards["router"]
    for name in WORLD_MODELS:
        assert f"`{name}`" in cards["router"]
    assert "`hashing` encoder, 512 dimensions" in cards["encoder"]
    assert "price change needs no retraining" in cards["cost"]


def test_cards_leave_out_what_was_not_learnt(trained):
    pool = trained.router.pool
    predictors = dataclasses.replace(pool.predictors, cost=None, latency=None)
    bare = dataclasses.replace(trained.router, pool=dataclasses.replace(pool, predictors=predictors))
    assert set(model_cards(bare, "Verdict.", trained.evidence, "x")) == {"router", "encoder", "quality"}
    dollars = dataclasses.replace(pool.predictors, cost=pool.predictors.latency)
    fits = {**pool.targets, "cost": pool.targets["latency"]}
    learnt = dataclasses.replace(trained.router, pool=dataclasses.replace(pool, predictors=dollars, targets=fits))
    assert "Learnt in dollars" in model_cards(learnt, "Verdict.", trained.evidence, "x")["cost"]


def test_a_training_that_fails_leaves_a_failed_run_and_no_version(parts, tracking, trained):
    training, test = parts
    with pytest.raises(DataError):
        train(training.pool(["small"]), test, tracking=tracking, learner=LEARNER, name="too small")
    client = mlflow.MlflowClient(tracking.uri)
    experiment = client.get_experiment_by_name(tracking.experiment).experiment_id
    newest = client.search_runs([experiment], order_by=["attributes.start_time DESC"], max_results=1)[0]
    assert (newest.info.run_name, newest.info.status) == ("train too small", "FAILED")
    assert len(client.search_model_versions("name = 'beast-router'")) == 1
