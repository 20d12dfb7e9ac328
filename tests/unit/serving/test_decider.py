import numpy as np
import pytest

from beast_ml.domain.endpoint import ModelLimits
from beast_ml.errors import InputError, NoCandidateError, UnavailableError, UnknownModelError
from beast_ml.serving.decider import Decider
from beast_ml.serving.payloads import Message, RouteRequest
from beast_ml.serving.router import Router


class Masks:
    def __init__(self, *masked):
        self.masked = frozenset(masked)

    def masked_models(self):
        return self.masked

    def tried_again_in_s(self, model):
        return {"large": 0.2, "medium": 3.1, "small": 14.0}[model]


@pytest.fixture
def router(loaded):
    return Router(loaded, np.random.default_rng(0))


@pytest.fixture
def prompts(world):
    return world.outcomes.prompts


def test_a_decision_is_the_routers(router, prompts):
    decider = Decider(Masks(), {})
    for prompt in prompts[:50]:
        decision, alone = decider.decide(router, RouteRequest(prompt=prompt), "acme"), router.route(prompt)
        assert (decision.model, decision.choice.propensity) == (alone.model, alone.propensity)
        assert decision.fallbacks == alone.fallbacks
        assert decision.candidates == router.models
        assert decision.decision_us > 0


def test_a_prompt_seen_before_is_decided_alike(router, prompts):
    decider = Decider(Masks(), {})
    first = [decider.decide(router, RouteRequest(prompt=prompt), "a") for prompt in prompts[:20]]
    again = [decider.decide(router, RouteRequest(prompt=prompt), "a") for prompt in prompts[:20]]
    assert [one.model for one in first] == [one.model for one in again]
    assert all(one.seen is other.seen for one, other in zip(first, again, strict=True))


def test_what_was_seen_by_another_router_is_forgotten(router, loaded, prompts):
    decider, other = Decider(Masks(), {}), Router(loaded, np.random.default_rng(0))
    first = decider.decide(router, RouteRequest(prompt=prompts[0]), "a")
    assert decider.decide(other, RouteRequest(prompt=prompts[0]), "a").seen is not first.seen


def test_large_requests_are_not_remembered(router, prompts):
    decider = Decider(Masks(), {})
    request = RouteRequest(prompt=prompts[0], context={"task": "x" * 10_000})
    assert decider.decide(router, request, "a").seen is not decider.decide(router, request, "a").seen


def test_the_context_is_part_of_what_is_remembered(router, prompts):
    decider = Decider(Masks(), {})
    one = decider.decide(router, RouteRequest(prompt=prompts[0], context={"task": "a"}), "a")
    other = decider.decide(router, RouteRequest(prompt=prompts[0], context={"task": "b"}), "a")
    assert one.seen is not other.seen


def test_models_that_are_out_are_not_chosen(router, prompts):
    decider = Decider(Masks("large", "medium"), {})
    decision = decider.decide(router, RouteRequest(prompt=prompts[0]), "a")
    assert (decision.model, decision.fallbacks, decision.candidates) == ("small", (), ("small",))


def test_when_all_are_out_it_says_so(router, prompts):
    decider = Decider(Masks(*router.models), {})
    with pytest.raises(UnavailableError, match="every candidate that could answer is out") as caught:
        decider.decide(router, RouteRequest(prompt=prompts[0]), "a")
    assert caught.value.retry_after_s == 1
    with pytest.raises(UnavailableError) as caught:
        decider.decide(router, RouteRequest(prompt=prompts[0], candidates=["small", "medium"]), "a")
    assert caught.value.retry_after_s == 4
    assert str(caught.value).endswith(
        "('medium' is tried again in 4 s, 'small' is tried again in 14 s): try again in 4 s, "
        "or allow others in `candidates`"
    )


def test_a_prompt_goes_only_to_models_that_can_read_it(router):
    limits = {"large": ModelLimits(context_tokens=100_000), "medium": ModelLimits(50), "small": ModelLimits(50)}
    decider = Decider(Masks(), limits)
    decision = decider.decide(router, RouteRequest(prompt="word " * 1000), "a")
    assert decision.candidates == ("large",)
    with pytest.raises(NoCandidateError, match="context_length"):
        decider.decide(router, RouteRequest(prompt="word " * 1000, candidates=["small"]), "a")


def test_all_turns_count_for_the_length_and_the_last_is_routed(router):
    decider = Decider(Masks(), {"small": ModelLimits(50), "medium": ModelLimits(50)})
    messages = [Message("system", "word " * 1000), Message("user", "hello")]
    decision = decider.decide(router, RouteRequest(messages=messages), "a")
    assert (decision.prompt, decision.candidates) == ("hello", ("large",))


def test_a_ready_feature_row_decides_as_its_prompt(router, prompts):
    decider = Decider(Masks(), {})
    row = router.bundle.features.matrix([prompts[0]])[0]
    given = decider.decide(router, RouteRequest(features=row.tolist()), "a")
    assert given.model == decider.decide(router, RouteRequest(prompt=prompts[0]), "a").model
    packed = decider.decide(router, RouteRequest(features=row.astype("<f4").tobytes()), "a")
    assert np.array_equal(packed.seen.rows, given.seen.rows)
    with pytest.raises(InputError, match="3 features were given, this router reads"):
        decider.decide(router, RouteRequest(features=[1.0, 2.0, 3.0]), "a")


@pytest.mark.parametrize("features", [b"abcde", [float("nan")], [1e300]])
def test_features_are_finite_numbers_or_their_bytes(router, features):
    with pytest.raises(InputError, match="`features` must be"):
        Decider(Masks(), {}).decide(router, RouteRequest(features=features), "a")


@pytest.mark.parametrize("request_", [RouteRequest(), RouteRequest(prompt="a", messages=[Message("user", "b")])])
def test_a_request_has_a_prompt_or_messages(router, request_):
    with pytest.raises(InputError, match="must be one of `prompt` and `messages`"):
        Decider(Masks(), {}).decide(router, request_, "a")


def test_an_unknown_candidate_is_named(router, prompts):
    with pytest.raises(UnknownModelError, match="no candidate 'huge'"):
        Decider(Masks(), {}).decide(router, RouteRequest(prompt=prompts[0], candidates=["huge"]), "a")


def test_many_requests_are_decided_as_one_by_one(router, prompts):
    decider = Decider(Masks(), {})
    requests = [RouteRequest(prompt=prompt) for prompt in prompts[:30]]
    requests[3] = RouteRequest()
    requests[7] = RouteRequest(prompt=prompts[7], candidates=["huge"])
    many = decider.decide_many(router, requests, "a", [0.0] * 30)
    assert isinstance(many[3], InputError)
    assert isinstance(many[7], UnknownModelError)
    for i in (0, 1, 2, 4, 5, 6, 8, 29):
        assert many[i].model == decider.decide(router, requests[i], "a").model


def test_thrift_chooses_cheaper(router, prompts):
    decider = Decider(Masks(), {})
    costs = [
        np.mean(
            [
                decision.seen.expected.cost_usd[0, decision.choice.chosen]
                for decision in (decider.decide(router, RouteRequest(prompt=p), "a", thrift) for p in prompts[:60])
            ]
        )
        for thrift in (0.0, 0.6, 1.0)
    ]
    assert costs[0] > costs[1] > costs[2]
    assert {decider.decide(router, RouteRequest(prompt=p), "a", 1.0).model for p in prompts[:60]} == {"small"}


def test_the_upper_cost_is_above_the_expected(router, prompts):
    decision = Decider(Masks(), {}).decide(router, RouteRequest(prompt=prompts[0]), "a")
    assert decision.upper_cost_usd(decision.model) > decision.seen.expected.cost_usd[0, decision.choice.chosen]
