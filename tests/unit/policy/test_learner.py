import dataclasses

import numpy as np
import pandas as pd
import pytest

from beast_ml.bundle.read import read_bundle
from beast_ml.bundle.write import write_bundle
from beast_ml.domain import Price
from beast_ml.errors import DataError, InputError, NotEnoughDataError
from beast_ml.features.hashing import HashingEncoder
from beast_ml.logs.ingest_outcomes import read_outcomes
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.policy.learner import RouterLearner, get_encoder, realised_cost
from beast_ml.testing.router_fixtures import TINY
from beast_ml.testing.worlds import WORLD_MODELS, WORLD_PRICES, make_world

LEARNER = RouterLearner("hashing", families=TINY)
READING = dataclasses.replace(LEARNER, context=("task",))


@pytest.fixture(scope="module")
def outcomes():
    return make_world(np.random.default_rng(5), 120).outcomes


def table(outcomes):
    n, m = outcomes.quality.shape
    cells = {"query_id": np.repeat(outcomes.query_ids, m), "model": np.tile(outcomes.models, n)}
    texts = {"prompt": np.repeat(outcomes.prompts, m), "task": np.repeat(outcomes.tasks, m)}
    names = ("quality", "cost_usd", "input_tokens", "output_tokens", "latency_s")
    return pd.DataFrame(cells | texts | {name: getattr(outcomes, name).ravel() for name in names})


def predictions(router):
    out = router.predict(make_world(np.random.default_rng(6), 40, prefix="n").outcomes.prompts)
    return out.quality.tobytes() + out.cost.tobytes()


def learnt_from(frame, tmp_path, name):
    path = tmp_path / f"{name}.parquet"
    frame.to_parquet(path, index=False)
    return LEARNER.fit(OutcomeMatrix.from_frame(read_outcomes(path).frame))


def test_row_order_and_duplicate_rows_of_the_training_table_change_nothing(outcomes, tmp_path):
    frame = table(outcomes)
    first = learnt_from(frame, tmp_path, "sorted")
    shuffled = learnt_from(frame.sample(frac=1, random_state=1), tmp_path, "shuffled")
    doubled = learnt_from(pd.concat([frame, frame.sample(100, random_state=2)]), tmp_path, "doubled")
    for other in (shuffled, doubled):
        assert predictions(other) == predictions(first)
        assert other.operating_point == first.operating_point
        assert other.training.digest() == first.training.digest()
        assert other.features.spec.hash == first.features.spec.hash


def test_fitting_is_deterministic_for_a_seed(outcomes):
    assert predictions(LEARNER.fit(outcomes, seed=3)) == predictions(LEARNER.fit(outcomes, seed=3))


def test_another_seed_changes_little(outcomes):
    prompts = make_world(np.random.default_rng(6), 200, prefix="n").outcomes.prompts
    one, other = (LEARNER.fit(outcomes, seed=seed).predict(prompts) for seed in (0, 1))
    assert np.abs(one.quality - other.quality).mean() < 0.05
    assert np.abs(np.log(one.cost / other.cost)).mean() < 0.25


def test_a_fitted_router_describes_itself(outcomes):
    router = LEARNER.fit(outcomes)
    assert router.models == WORLD_MODELS
    assert router.training is outcomes
    assert router.out_of_fold.quality.shape == router.out_of_fold.cost.shape == outcomes.quality.shape
    assert router.operating_point.n_queries == outcomes.n_queries


def test_tasks_are_read_only_when_asked_for(outcomes):
    prompts, known = outcomes.prompts[:5], [{"task": "code"}] * 5
    without, with_tasks = LEARNER.fit(outcomes), READING.fit(outcomes)
    np.testing.assert_array_equal(without.rows(prompts, known), without.rows(prompts))
    assert not np.array_equal(with_tasks.rows(prompts, known), with_tasks.rows(prompts))
    assert {name for name in with_tasks.features.spec.names if name.startswith("context_")} == {
        f"context_task={task}" for task in ("chat", "code", "maths", "translate")
    }
    np.testing.assert_array_equal(with_tasks.rows(prompts, [{}] * 5), with_tasks.rows(prompts))


def test_an_app_is_read_where_it_is_asked_for_and_may_be_unknown(outcomes):
    apps = np.where(np.arange(outcomes.n_queries) % 2 == 0, "editor", "")
    router = dataclasses.replace(LEARNER, context=("task", "app")).fit(dataclasses.replace(outcomes, apps=apps))
    asked = outcomes.prompts[:5]
    (slot,) = np.flatnonzero([name == "context_app=editor" for name in router.features.spec.names])
    assert (router.rows(asked, [{"app": "editor"}] * 5)[:, slot] == 1).all()
    np.testing.assert_array_equal(router.rows(asked, [{"app": "never seen"}] * 5), router.rows(asked))
    assert np.isfinite(router.predict(asked).quality).all()


def test_what_the_data_do_not_name_cannot_be_read(outcomes):
    with pytest.raises(DataError, match=r"name no app: do not read it \(--use-app\), or give data with `app`"):
        dataclasses.replace(LEARNER, context=("app",)).fit(outcomes)


@pytest.mark.parametrize("cost", ["cost_usd", "latency_s", "none"])
def test_cost_may_be_dollars_seconds_or_nothing(outcomes, cost):
    router = LEARNER.fit(outcomes, cost=cost)
    predicted = router.predict(outcomes.prompts[:3]).cost
    expected = {"cost_usd": outcomes.cost_usd, "latency_s": outcomes.latency_s, "none": 0 * outcomes.quality}[cost]
    np.testing.assert_array_equal(realised_cost(outcomes, cost), expected)
    assert (predicted == 0).all() if cost == "none" else (predicted > 0).all()


def test_a_cost_that_plays_no_part_need_not_be_known(outcomes):
    cost = outcomes.cost_usd.copy()
    cost[:, 0] = np.nan
    tokens = np.full_like(cost, np.nan)
    router = LEARNER.fit(dataclasses.replace(outcomes, cost_usd=cost, output_tokens=tokens), cost="latency_s")
    assert router.pool.predictors.cost is None


def test_given_prices_are_the_costs(outcomes):
    dearer = {name: Price(2 * p.input_usd_per_mtok, 2 * p.output_usd_per_mtok) for name, p in WORLD_PRICES.items()}
    usual, doubled = LEARNER.fit(outcomes), RouterLearner("hashing", families=TINY, prices=dearer).fit(outcomes)
    ratio = doubled.predict(outcomes.prompts).cost / usual.predict(outcomes.prompts).cost
    np.testing.assert_allclose(ratio, 2.0, rtol=1e-3)


def test_one_task_is_enough(outcomes):
    router = READING.fit(dataclasses.replace(outcomes, tasks=np.full(outcomes.n_queries, "all")))
    assert np.isfinite(router.predict(["hello"], [{"task": "all"}]).quality).all()


def test_one_model_is_not(outcomes):
    with pytest.raises(NotEnoughDataError, match=r"the pool has 1 model \(small\).*at least two"):
        LEARNER.fit(outcomes.pool(["small"]))


def test_too_few_queries_are_refused(outcomes):
    with pytest.raises(NotEnoughDataError, match="49 queries to learn from, at least 50"):
        LEARNER.fit(outcomes.rows(np.arange(49)))


def test_too_few_different_questions_are_refused(outcomes):
    with pytest.raises(NotEnoughDataError, match="120 queries are only 2 different questions"):
        LEARNER.fit(dataclasses.replace(outcomes, prompts=("one?", "two?") * 60))


@pytest.mark.parametrize(("field", "cost"), [("quality", "none"), ("cost_usd", "cost_usd"), ("latency_s", "latency_s")])
def test_a_model_of_which_nothing_is_known_is_named(outcomes, field, cost):
    values = getattr(outcomes, field).copy()
    values[:, 1] = np.nan
    with pytest.raises(NotEnoughDataError, match=f"no {field} of model 'medium'.*leave the model out"):
        LEARNER.fit(dataclasses.replace(outcomes, **{field: values}), cost=cost)


def test_progress_is_told_by_target(outcomes):
    steps = []
    RouterLearner("hashing", families=TINY, progress=lambda *step: steps.append(step)).fit(outcomes)
    assert list(dict.fromkeys(label.partition(":")[0] for label, _, _ in steps)) == [
        "request kind",
        "quality",
        "latency",
        "input tokens",
        "output tokens",
    ]
    assert all(0 < done <= total for _, done, total in steps)


def test_distilling_is_progress_too():
    steps = []
    callback = RouterLearner(progress=lambda *step: steps.append(step)).encoder_progress()
    callback(3, 10)
    assert steps == [("distilling the encoder", 3, 10)]
    assert RouterLearner().encoder_progress() is None


def test_encoders_are_known_by_name(distilled):
    assert get_encoder("hashing") == HashingEncoder()
    assert get_encoder("static").hash == distilled.hash
    assert get_encoder("minilm").name == "minilm"
    assert (get_encoder("tuned").name, get_encoder("tuned").hash) == ("tuned", distilled.hash)
    with pytest.raises(InputError, match="`encoder` == 'bert', must be one of static, tuned, minilm, hashing"):
        get_encoder("bert")


def test_a_tuned_encoder_learns_from_the_training_outcomes_and_is_served_from_the_bundle(outcomes, distilled, tmp_path):
    router = RouterLearner("tuned", families=TINY).fit(outcomes)
    spec = router.features.spec
    assert (spec.encoder, spec.encoder_dim) == ("tuned", distilled.dim)
    assert spec.encoder_hash == router.features.encoder.hash != distilled.hash
    write_bundle(router, tmp_path / "bundle")
    loaded = read_bundle(tmp_path / "bundle")
    prompts = outcomes.prompts[:20]
    assert loaded.features.matrix(prompts).tobytes() == router.rows(prompts).tobytes()
    assert loaded.manifest.encoder == "tuned"
