"""From simulated logs whose truth is known to a registered router, against a real MLflow store."""

from dataclasses import replace
from urllib.request import urlopen

import numpy as np
import pyarrow as pa
import pytest

from beast_ml.errors import NotEnoughDataError, PromotionRefusedError
from beast_ml.logs.logged import LoggedOutcomes
from beast_ml.logs.simulate import simulate
from beast_ml.logs.simulate.config import FailureConfig, LabelConfig, PolicyConfig, SimulationConfig, TrafficConfig
from beast_ml.operations.log_training import train_from_log
from beast_ml.policy.exploration import Exploration
from beast_ml.policy.learner import RouterLearner
from beast_ml.registry.connection import connect
from beast_ml.registry.promotion import promote
from beast_ml.serving.router import Router
from beast_ml.testing.router_fixtures import QUICK, TINY
from beast_ml.testing.worlds import make_world

LEARNER = RouterLearner("hashing", families=TINY)


def log(policy, n_requests=2500, label_share=1.0, seed=0, n_queries=2500):
    """A log of an easily learnt world: 2,500 questions, three models, failures, hardly any repeats."""
    config = SimulationConfig(
        requests=n_requests,
        policy=policy,
        traffic=TrafficConfig(repeat_zipf=0.0, paraphrase_share=0.0),
        labels=LabelConfig(share=label_share),
        failures=FailureConfig(rate=0.03),
    )
    world = make_world(np.random.default_rng(seed), n_queries)
    tables = list(simulate(world.outcomes, config, np.random.default_rng(seed)))
    return LoggedOutcomes.from_table(pa.concat_tables(tables))


def artifact_text(run, name):
    with urlopen(f"{run.info.artifact_uri}/{name}") as stream:  # noqa: S310  a file of this test's store
        return stream.read().decode()


@pytest.fixture(scope="module")
def uniform_log():
    return log(PolicyConfig(kind="uniform"))


def test_an_exploring_log_yields_a_router_that_beats_it_and_is_promoted(config, uniform_log):
    heard, how = [], Exploration(0.002)
    learner = replace(LEARNER, families=QUICK, exploration=how)  # what is served has to be good here
    result = train_from_log(
        uniform_log, tracking=config, learner=learner, name="uniform", drawn_from=123_456, say=heard.append
    )
    assert "Routing pays here" in result.sentence
    assert result.proposal.settings == how
    assert 0 < result.proposal.loss <= how.max_loss
    assert result.evidence.reference == "logging_policy"
    assert result.evidence.quality_gain.low > -0.01
    assert result.effective_questions >= 100
    assert result.router.pool.predictors.reliability is not None
    assert promote(config).version == result.registered.version
    router = Router.load("models:/beast-router@champion", tracking_uri=config.uri)
    assert router.route("please translate this").model in router.models
    assert router.bundle.policy.exploration == how
    run = connect(config).get_run(result.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["log_requests"] == "123456"
    assert run.data.params["log_requests_read"] == str(uniform_log.matrix.n_queries)
    assert run.data.metrics["off_policy/effective_questions"] == pytest.approx(result.effective_questions)
    assert any("holding out" in line for line in heard)
    logged = result.router.training.quality
    unseen = result.router.out_of_fold.quality
    assert result.router.pool.targets["quality"].report["brier_out_of_fold"] == np.nanmean((unseen - logged) ** 2)
    children = connect(config).search_runs([run.info.experiment_id], "tags.target = 'quality'")
    assert any("squared_error_to_teacher" in child.data.metrics for child in children)
    assert not any("squared_error" in child.data.metrics for child in children)
    assert result.router.pool.predictors.pessimism is not None
    prompts = uniform_log.matrix.prompts[:50]
    rows = result.router.rows(prompts)
    caution = result.router.pool.predictors.predict(rows).caution
    np.testing.assert_array_equal(router.bundle.predictors.predict(rows).caution, caution)
    assert (caution > 0).all()


def test_a_log_that_hardly_explored_cannot_tell_and_deposes_nobody(config):
    stuck = log(PolicyConfig(kind="epsilon-greedy", epsilon=0.3, model="small"), n_requests=900, label_share=0.7)
    result = train_from_log(stuck, tracking=config, learner=LEARNER)
    assert "pays here" not in result.sentence
    with pytest.raises(PromotionRefusedError, match="keep the policy that wrote the log"):
        promote(config)


def test_without_propensities_they_are_estimated_and_what_that_is_worth_is_said(config, uniform_log):
    unknown = replace(uniform_log, propensity=np.full(len(uniform_log.chosen), np.nan))
    heard = []
    result = train_from_log(unknown, tracking=config, learner=LEARNER, say=heard.append)
    assert "pays here" in result.sentence
    assert result.n_estimated == len(unknown.chosen)
    (warning,) = [line for line in heard if "have no propensity" in line]
    assert "only if the old router decided on nothing that the prompt does not show" in warning
    assert "all but certain" not in warning


def test_a_log_of_one_model_a_task_is_no_evidence_on_the_others_and_is_told_what_to_explore(config, uniform_log):
    dear = np.isin(uniform_log.matrix.tasks, ("code", "maths"))
    rule = np.where(dear, uniform_log.matrix.models.index("large"), uniform_log.matrix.models.index("small"))
    fixed = uniform_log.rows(uniform_log.chosen == rule)
    unknown = replace(fixed, propensity=np.full(len(fixed.chosen), np.nan))
    heard = []
    result = train_from_log(unknown, tracking=config, learner=LEARNER, say=heard.append)
    assert any("all but certain" in line for line in heard)
    assert "pays here" not in result.sentence
    assert "What would: send 10% of the requests" in result.exploration.sentence()
    run = connect(config).get_run(result.run_id)
    assert run.data.metrics["cross_fitted/leaves_logging_policy"] == 0.0
    assert result.exploration.sentence() in artifact_text(run, "exploration.md")


def test_without_labels_nothing_is_learnt(config, uniform_log):
    nothing = np.full_like(uniform_log.matrix.quality, np.nan)
    unlabelled = replace(uniform_log, matrix=replace(uniform_log.matrix, quality=nothing))
    with pytest.raises(NotEnoughDataError, match=r"send feedback.*explore: 10% of the requests"):
        train_from_log(unlabelled, tracking=config, learner=LEARNER)


def test_a_model_without_labels_is_left_out_and_said(config, uniform_log):
    some = uniform_log.rows(np.arange(len(uniform_log.chosen)) % 3 == 0)
    quality = some.matrix.quality.copy()
    quality[:, 0] = np.nan
    thin = replace(some, matrix=replace(some.matrix, quality=quality))
    heard = []
    result = train_from_log(thin, tracking=config, learner=LEARNER, say=heard.append)
    assert result.left_out == {"large": 0}
    assert result.router.models == ("medium", "small")
    assert any(line.startswith("warning: large has 0 labelled outcomes") for line in heard)


def test_what_is_known_of_a_request_is_learnt_from_a_log_and_read_in_serving(config, uniform_log):
    apps = np.where(np.arange(uniform_log.matrix.n_queries) % 2, "chat", "search")
    known = replace(uniform_log, matrix=replace(uniform_log.matrix, apps=apps))
    result = train_from_log(known, tracking=config, learner=replace(LEARNER, context=("app",)), name="apps")
    assert result.router.features.spec.context == {"app": ("chat", "search")}
    rows = result.router.rows(["hello"] * 3, [{"app": "chat"}, {"app": "never seen"}, {}])
    assert (rows[0] != rows[1]).any()
    np.testing.assert_array_equal(rows[1], rows[2])
    assert result.router.pool.predictors.predict(rows).caution.shape == (3, 3)
