import dataclasses

import msgspec
import numpy as np
import pytest

from beast_ml.bundle.read import RouterBundle
from beast_ml.bundle.write import always_single, write_bundle
from beast_ml.domain import Objective, Price
from beast_ml.errors import BundleError, InputError, NoCandidateError, UnknownModelError
from beast_ml.policy.exploration import Exploration
from beast_ml.policy.spec import PolicySpec
from beast_ml.predictors.pessimism import Pessimism
from beast_ml.serving import router as module
from beast_ml.serving.router import Router
from beast_ml.testing.worlds import make_world

PROMPTS = [
    *make_world(np.random.default_rng(11), 80, prefix="n").outcomes.prompts,
    "",
    "\ud800",
    "写一首诗",
    "😀" * 50,
    "x" * 1_000_000,
]


def with_policy(bundle: RouterBundle, **changes) -> RouterBundle:
    return dataclasses.replace(bundle, policy=msgspec.structs.replace(bundle.policy, **changes))


@pytest.fixture(scope="module")
def router(loaded):
    return Router(loaded)


def test_one_by_one_and_in_a_batch_the_decisions_are_the_same(router):
    batch = router.route_batch(PROMPTS)
    assert batch == [router.route(prompt) for prompt in PROMPTS]
    assert len({decision.model for decision in batch}) > 1


def test_a_bundle_decides_as_the_router_it_was_written_from(fitted, router_folder, paying_policy):
    expected = fitted.pool.predictors.predict(fitted.rows(PROMPTS))
    quality = expected.quality * (1 - expected.failure)
    best = (paying_policy.objective.willingness_to_pay * quality - expected.cost_usd).argmax(axis=1)
    decisions = Router.load(router_folder).route_batch(PROMPTS)
    assert [decision.model for decision in decisions] == [fitted.models[j] for j in best]


def test_a_decision_names_everybody_once_and_its_policy(router):
    decision = router.route("integral of a prime matrix", tenant="acme")
    assert sorted((decision.model, *decision.fallbacks)) == sorted(router.models)
    assert (decision.propensity, decision.tenant) == (1.0, "acme")
    assert decision.policy_version == router.version == router.bundle.manifest.digest
    assert decision.forecasts == ()
    assert decision.explanation is None


def test_a_decision_names_the_kind_as_training_would(router, fitted):
    expected = fitted.pool.predictors.kind.names(fitted.rows(PROMPTS))
    assert [decision.request_kind for decision in router.route_batch(PROMPTS)] == expected
    assert router.route("integral of a prime matrix").request_kind == "maths"
    assert router.route("compile the python loop").request_kind == "code"


def test_a_router_that_knows_no_kinds_names_none(loaded):
    bundle = dataclasses.replace(loaded, predictors=dataclasses.replace(loaded.predictors, kind=None))
    router = Router(bundle)
    assert router.route("integral of a prime matrix").request_kind is None
    assert [decision.request_kind for decision in router.route_batch(["a", "b"])] == [None, None]


@pytest.mark.parametrize("prompt", PROMPTS[:20])
def test_explanations_agree_with_the_forecasts(router, prompt):
    decision = router.route(prompt, explain=True)
    forecasts = {forecast.model: forecast for forecast in decision.forecasts}
    assert tuple(forecasts) == router.models
    assert decision.forecasts == router.forecast(prompt)
    for forecast in forecasts.values():
        assert 0 <= forecast.quality.low <= forecast.quality.value <= forecast.quality.high <= 1
        for amount in (forecast.cost_usd, forecast.latency_s, forecast.ttft_s, forecast.output_tokens):
            assert 0 <= amount.low < amount.high
        assert 0 < forecast.failure_probability < 1
    why, chosen = decision.explanation, forecasts[decision.model]
    runner_up = forecasts[decision.fallbacks[0]]
    assert why.runner_up == runner_up.model
    assert why.runner_up_extra_cost_usd == pytest.approx(runner_up.cost_usd.value - chosen.cost_usd.value)
    assert why.runner_up_extra_quality == pytest.approx(runner_up.quality.value - chosen.quality.value)
    assert (why.binding_constraint, why.reason.split()[0]) == (None, decision.model)
    assert msgspec.structs.replace(decision, forecasts=(), explanation=None) == router.route(prompt)


def test_constraints_of_a_request_are_kept(router):
    prompt = PROMPTS[0]
    forecasts = {forecast.model: forecast for forecast in router.forecast(prompt)}
    by_cost = sorted(forecasts.values(), key=lambda forecast: forecast.cost_usd.value)
    cheapest = router.route(prompt, max_cost_usd=by_cost[0].cost_usd.value)
    assert (cheapest.model, cheapest.fallbacks) == (by_cost[0].model, ())
    best = max(forecasts.values(), key=lambda forecast: forecast.quality.value)
    assert router.route(prompt, min_quality=best.quality.value).model == best.model
    fastest = min(forecasts.values(), key=lambda forecast: forecast.latency_s.value)
    assert router.route(prompt, max_latency_s=fastest.latency_s.value).model == fastest.model
    explained = router.route(prompt, candidates=["medium"], explain=True)
    assert (explained.model, explained.explanation.runner_up) == ("medium", None)
    assert explained.explanation.runner_up_extra_cost_usd is None


def test_the_binding_constraint_is_in_the_reason(router):
    usual = router.route(PROMPTS[0])
    cost = {forecast.model: forecast.cost_usd.value for forecast in router.forecast(PROMPTS[0])}
    below = router.route(PROMPTS[0], max_cost_usd=cost[usual.model] * 0.999, explain=True)
    assert below.model != usual.model
    assert below.explanation.binding_constraint == "max_cost_usd"
    assert below.explanation.reason == f"{below.model} has the highest utility of those that meet max_cost_usd"


def test_standing_constraints_hold_for_every_request_and_are_only_tightened(loaded):
    objective = msgspec.structs.replace(loaded.policy.objective, max_cost_usd=1e-3)
    strict = Router(with_policy(loaded, objective=objective))
    assert "large" not in {decision.model for decision in strict.route_batch(PROMPTS[:40])}
    with pytest.raises(NoCandidateError):
        strict.route(PROMPTS[0], candidates=["large"], max_cost_usd=1.0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"min_quality": 1.5}, NoCandidateError, "no candidate meets min_quality 1.5"),
        ({"max_cost_usd": -1.0}, NoCandidateError, "max_cost_usd -1"),
        ({"max_latency_s": float("nan")}, InputError, "`max_latency_s` is NaN"),
        ({"candidates": []}, NoCandidateError, "`candidates` is empty"),
        ({"candidates": ["gpt"]}, UnknownModelError, "no candidate 'gpt'; the pool is large, medium, small"),
        ({"candidates": "large"}, InputError, "one string"),
    ],
)
def test_what_cannot_be_met_is_an_error_that_says_why(router, arguments, error, message):
    with pytest.raises(error, match=message):
        router.route("hello", **arguments)


@pytest.mark.parametrize("prompt", [None, 3, b"bytes", ["list"]])
def test_a_prompt_is_a_string(router, prompt):
    with pytest.raises(InputError, match=f"a prompt must be a string, got {type(prompt).__name__}"):
        router.route(prompt)
    with pytest.raises(InputError, match="must be a string"):
        router.route_batch(["fine", prompt])


def test_batches_may_be_empty_and_contexts_must_match(router):
    assert router.route_batch([]) == []
    assert len(router.route_batch(["a", "b"], contexts=[{}, {"task": "code"}], tenant="t")) == 2
    with pytest.raises(InputError, match="1 contexts for 2 prompts"):
        router.route_batch(["a", "b"], contexts=[{}])


def test_a_context_nobody_trained_on_changes_nothing(router):
    assert router.route("hello", context={"task": "unheard of", "language": "de"}) == router.route("hello")


def test_a_single_bundle_says_that_routing_does_not_pay(loaded):
    single = Router(with_policy(loaded, kind="single", model="medium", cost="none", objective=Objective(0.0)))
    decision = single.route("hello", explain=True)
    assert decision.model == "medium"
    assert decision.explanation.reason == "routing does not pay on the training data, so medium always answers"
    others = single.route("hello", candidates=["small", "large"], explain=True)
    assert others.explanation.reason.startswith(f"{others.model} has the highest utility")


def test_exploration_says_so_and_is_reproducible(loaded):
    bundle = with_policy(loaded, exploration_rate=0.5)
    first, second = (Router(bundle, np.random.default_rng(4)) for _ in range(2))
    decisions = [first.route(prompt, explain=True) for prompt in PROMPTS[:60]]
    assert decisions == [second.route(prompt, explain=True) for prompt in PROMPTS[:60]]
    explored = [d for d in decisions if d.explanation.reason.startswith("explored:")]
    assert 5 < len(explored) < 40
    for decision in decisions:
        expected = 0.5 / 3 + (0.0 if decision in explored else 0.5)
        assert decision.propensity == pytest.approx(expected)
        assert len({decision.model, *decision.fallbacks}) == 3


@pytest.fixture(scope="module")
def unsure(loaded):
    """A bundle whose log has hardly ever tried the medium model."""
    d = loaded.features.spec.encoder_dim
    nothing, one = np.zeros(d, np.float32), np.ones(d, np.float32)
    # Of large, medium and small.
    pessimism = Pessimism(nothing, one, nothing[None], np.array([[0.02, 0.5, 0.02]]))
    bundle = dataclasses.replace(loaded, predictors=dataclasses.replace(loaded.predictors, pessimism=pessimism))
    return with_policy(bundle, exploration=Exploration(0.02, max_rate=0.5))


def test_exploration_by_evidence_tries_what_is_hardly_known_and_says_why(unsure):
    router = Router(unsure, np.random.default_rng(4))
    decisions = [router.route(prompt, explain=True) for prompt in PROMPTS[:80] for _ in range(3)]
    explored = [d for d in decisions if d.explanation.reason.startswith("explored:")]
    assert 10 < len(explored) < 200
    assert "medium" in {d.model for d in explored}
    for decision in explored:
        assert (
            f"was drawn with probability {decision.propensity:.3f}, for it may be better" in decision.explanation.reason
        )
        assert 0.01 <= decision.propensity <= 0.5
    reason = next(d.explanation.reason for d in explored if d.model == "medium")
    assert reason.endswith("the log tells the quality of medium on such requests within 0.50 only")


def test_exploration_by_evidence_is_the_same_in_a_batch_and_one_by_one(unsure):
    batch = Router(unsure, np.random.default_rng(4)).route_batch(PROMPTS[:60])
    alone = Router(unsure, np.random.default_rng(5))
    known = {}
    for _ in range(40):
        for prompt in PROMPTS[:60]:
            decision = alone.route(prompt)
            known.setdefault((prompt, decision.model), decision.propensity)
            assert known[prompt, decision.model] == decision.propensity  # whatever was drawn before
    for prompt, decision in zip(PROMPTS[:60], batch, strict=True):
        assert known.get((prompt, decision.model), decision.propensity) == pytest.approx(decision.propensity, rel=1e-3)


def test_exploration_by_evidence_keeps_to_what_a_request_allows(unsure):
    router = Router(unsure, np.random.default_rng(4))
    seen = router.expect(PROMPTS[0])
    allowed = {router.choose(seen, candidates=["large", "small"]).chosen for _ in range(300)}
    assert router.models.index("medium") not in allowed
    cap = float(np.median(seen.expected.cost_usd))
    cheap = [router.choose(seen, max_cost_usd=cap).chosen for _ in range(300)]
    assert (seen.expected.cost_usd[0, cheap] <= cap).all()
    assert {router.choose(seen, thrift=1.0).chosen for _ in range(100)} == {int(seen.expected.cost_usd[0].argmin())}


def test_what_one_request_asks_for_does_not_shape_the_next_that_is_expected_the_same(router):
    seen = router.expect(PROMPTS[0])
    first = router.choose(seen)
    other = next(name for name in router.models if name != router.models[first.chosen])
    assert router.choose(seen) == first
    assert router.models[router.choose(seen, candidates=[other]).chosen] == other
    cheapest = int(seen.expected.cost_usd[0].argmin())
    assert router.choose(seen, thrift=1.0).chosen == cheapest
    assert router.choose(seen, max_cost_usd=float(seen.expected.cost_usd.min())).ranking == (cheapest,)
    assert router.choose(seen) == first == router.choose(router.expect(PROMPTS[0]))


def test_a_bundle_of_one_model_gives_way_to_cheaper_ones_as_money_runs_short(router_folder, tmp_path):
    always_single(router_folder, "large", tmp_path / "single")
    router = Router.load(tmp_path / "single")
    seen = [router.expect(prompt) for prompt in PROMPTS[:80]]
    chosen = {
        thrift: [router.models[router.choose(each, thrift=thrift).chosen] for each in seen]
        for thrift in (0.0, 1e-9, 0.2, 0.5, 0.8, 1.0)
    }
    assert set(chosen[0.0]) == set(chosen[1e-9]) == {"large"}
    shares = [np.mean([model == "large" for model in models]) for models in chosen.values()]
    assert shares == sorted(shares, reverse=True)
    assert any(0 < share < 1 for share in shares), "all requests leave it at once"
    assert chosen[1.0] == [router.models[int(each.expected.cost_usd[0].argmin())] for each in seen]


def test_what_was_not_learnt_is_absent_from_forecasts(loaded):
    predictors = dataclasses.replace(loaded.predictors, cost=None, latency=None, ttft=None, reliability=None)
    router = Router(dataclasses.replace(loaded, predictors=predictors))
    decision = router.route("hello", explain=True)
    for forecast in decision.forecasts:
        assert forecast.cost_usd is forecast.latency_s is forecast.ttft_s is forecast.output_tokens is None
        assert forecast.failure_probability is None
    assert decision.explanation.runner_up_extra_cost_usd is None
    with pytest.raises(NoCandidateError):
        router.route("hello", max_cost_usd=1.0)


def test_a_price_change_moves_decisions_without_training(fitted, tmp_path, paying_policy):
    from beast_ml.domain import Price

    cost = fitted.pool.predictors.cost.with_prices({"large": Price(0.0, 0.0)})
    predictors = dataclasses.replace(fitted.pool.predictors, cost=cost)
    cheap = dataclasses.replace(fitted, pool=dataclasses.replace(fitted.pool, predictors=predictors))
    write_bundle(cheap, tmp_path / "cheap", policy=paying_policy)
    decisions = Router.load(tmp_path / "cheap").route_batch(PROMPTS[:40])
    assert sum(decision.model == "large" for decision in decisions) > 30


def test_a_registry_address_is_resolved_to_a_folder(router_folder, monkeypatch, tmp_path):
    asked = []

    def resolve(uri, config, cache):
        asked.append((uri, config.uri, cache))
        return router_folder

    monkeypatch.setattr(module, "resolve_in_child", resolve)
    monkeypatch.setenv("BEAST_CACHE_DIR", str(tmp_path))
    router = Router.load("models:/beast-router@champion", tracking_uri="http://mlflow.example:5000")
    assert router.models == ("large", "medium", "small")
    Router.load("models:/beast-router/3", cache=tmp_path / "mine")
    assert asked[0] == ("models:/beast-router@champion", "http://mlflow.example:5000", tmp_path / "bundles")
    assert asked[1][2] == tmp_path / "mine"


def test_no_bundle_is_an_error(tmp_path):
    with pytest.raises(BundleError, match="no router bundle in"):
        Router.load(tmp_path)


def test_policies_without_cost_go_by_quality(loaded):
    by_quality = Router(dataclasses.replace(loaded, policy=PolicySpec("router", "large", Objective(0.0), "none")))
    forecasts = by_quality.forecast("integral of a rigorous proof")
    best = max(forecasts, key=lambda f: f.quality.value * (1 - f.failure_probability))
    assert by_quality.route("integral of a rigorous proof").model == best.model


def test_a_price_change_needs_no_retraining(router_folder):
    before = Router.load(router_folder)
    free = Router.load(router_folder, prices={"large": Price(0.0, 0.0), "somebody else": Price(1.0, 1.0)})
    costs = {forecast.model: forecast.cost_usd.value for forecast in free.forecast("please sort this list")}
    usual = {forecast.model: forecast.cost_usd.value for forecast in before.forecast("please sort this list")}
    assert costs["large"] == 0.0 < usual["large"]
    assert (costs["medium"], costs["small"]) == (usual["medium"], usual["small"])


def test_a_folder_that_is_not_there_is_the_users_mistake(tmp_path):
    with pytest.raises(InputError, match="no bundle folder"):
        Router.load(tmp_path / "nowhere")
