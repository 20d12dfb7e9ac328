import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from beast_ml.domain import Objective
from beast_ml.errors import InputError, NoCandidateError, UnknownModelError
from beast_ml.policy.decide import (
    Constraints,
    decide,
    only,
    quality_acted_on,
    rank_batch,
    utilities,
    worth_of_quality,
)
from beast_ml.policy.exploration import Exploration
from beast_ml.policy.spec import PolicySpec
from beast_ml.predictors.pool import Expected

MODELS = ("large", "medium", "small")
EXPECTED = Expected(
    quality=np.array([[0.9, 0.8, 0.5], [0.9, 0.2, 0.6]]),
    cost_usd=np.array([[1e-2, 2e-3, 1e-4], [1e-2, 2e-3, 1e-4]]),
    latency_s=np.array([[4.0, 2.0, 1.0], [4.0, 2.0, 1.0]]),
)
SHARES = st.floats(0, 1, exclude_max=True)
OPTIONAL = st.none() | st.floats(0, 1)


def policy(kind="router", willingness=0.01, cost="cost_usd", rate=0.0, exploration=None, **objective):
    return PolicySpec(kind, "large", Objective(willingness, **objective), cost, rate, exploration)


def choose(spec, row=0, constraints=None, candidates=None, uniform=0.0, expected=EXPECTED):
    return decide(spec, MODELS, expected, row, constraints or Constraints(), candidates, uniform)


@st.composite
def situations(draw, explores=False):
    """Anything a request may meet: expectations, a policy, constraints, candidates; or one that is explored on."""
    m = draw(st.integers(1, 6))
    models = tuple(f"m{j}" for j in range(m))

    def amounts():
        return np.array([draw(st.lists(st.floats(0, 1), min_size=m, max_size=m))])

    expected = Expected(
        quality=amounts(),
        cost_usd=amounts() if draw(st.booleans()) else None,
        latency_s=amounts() if draw(st.booleans()) else None,
        failure=amounts() if draw(st.booleans()) else None,
        caution=amounts() if explores or draw(st.booleans()) else None,
    )
    rate = 0.0 if explores else draw(st.just(0.0) | st.floats(1e-6, 1))
    bounds = st.builds(Exploration, st.floats(1e-3, 1), OPTIONAL, st.floats(0.1, 0.5), st.floats(1e-4, 0.1))
    spec = PolicySpec(
        draw(st.sampled_from(["router", "single"])),
        draw(st.sampled_from(models)),
        Objective(draw(st.floats(0, 10)), draw(st.floats(0, 1))),
        draw(st.sampled_from(["cost_usd", "latency_s", "none"])),
        rate,
        None if rate else draw(bounds if explores else st.none() | bounds),
    )
    constraints = Constraints() if explores else Constraints(draw(OPTIONAL), draw(OPTIONAL), draw(OPTIONAL))
    candidates = draw(st.none() | st.lists(st.sampled_from(models), min_size=1, max_size=m))
    return models, expected, spec, constraints, candidates


def decided(situation, uniform=0.0):
    models, expected, spec, constraints, candidates = situation
    try:
        return decide(spec, models, expected, 0, constraints, candidates, uniform)
    except NoCandidateError:
        assume(False)
        raise


def ranked(situation):
    models, expected, spec, constraints, candidates = situation
    try:
        return rank_batch(spec, models, expected, constraints, candidates)[0]
    except NoCandidateError:
        assume(False)
        raise


@given(situations())
def test_propensities_are_those_of_the_draw_and_sum_to_one(situation):
    spec, ranking = situation[2], ranked(situation)
    assert ranking.propensity + sum(p for _, p in ranking.tried) == pytest.approx(1.0)
    assert {j for j, _ in ranking.tried} <= set(ranking.allowed[1:])
    if spec.exploration_rate:
        assert len(ranking.tried) == len(ranking.allowed) - 1
    begins = 0.0
    for chosen, propensity in ((ranking.allowed[0], ranking.propensity), *ranking.tried):
        assert 0 < propensity <= 1
        drawn = decided(situation, begins + propensity / 2)
        assert (drawn.chosen, drawn.propensity, drawn.ranking) == (chosen, propensity, ranking.allowed)
        begins += propensity


@given(situations(explores=True))
def test_what_exploring_is_expected_to_cost_keeps_within_its_bounds(situation):
    _, expected, spec, _, _ = situation
    ranking, how = ranked(situation), spec.exploration
    worth, first = worth_of_quality(spec, expected), ranking.allowed[0]
    value = utilities(spec, expected)[0] + worth * expected.caution[0]
    loss = sum(p * max(value[first] - value[j], 0.0) for j, p in ranking.tried)
    assert loss <= how.max_loss * worth * (1 + 1e-9)
    assert 1.0 - ranking.propensity <= how.max_rate * (1 + 1e-9)
    assert min((p for _, p in ranking.tried), default=1.0) >= how.min_propensity * (1 - 1e-9)
    assert ranking.propensity >= how.min_propensity * (1 - 1e-9)
    if expected.cost_usd is not None and how.max_extra_cost_usd is not None:
        cost = expected.cost_usd[0]
        extra = sum(p * max(cost[j] - cost[first], 0.0) for j, p in ranking.tried)
        assert extra <= how.max_extra_cost_usd * (1 + 1e-9)


EXPLORING = policy(willingness=1.0, exploration=Exploration(0.05, min_propensity=0.001))


def unsure(caution, expected=EXPECTED):
    return dataclasses.replace(expected, caution=np.broadcast_to(caution, expected.quality.shape))


def test_nothing_is_tried_where_everything_is_known():
    for known in (EXPECTED, unsure(0.0), unsure([0.02, 0.01, 0.01])):
        assert rank_batch(EXPLORING, MODELS, known, Constraints())[0].tried == ()
    never = dataclasses.replace(EXPECTED, caution=None)
    assert rank_batch(EXPLORING, MODELS, never, Constraints())[0].propensity == 1.0


def test_exploring_fades_as_evidence_grows_and_goes_to_what_is_least_known():
    rates = [
        1.0 - rank_batch(EXPLORING, MODELS, unsure([0.02, 0.3 * shrunk, 0.05]), Constraints())[0].propensity
        for shrunk in (1.0, 0.5, 0.2, 0.05)
    ]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0.1 > rates[2] > rates[3] == 0.0
    (ranking, _) = rank_batch(EXPLORING, MODELS, unsure([0.02, 0.1, 0.8]), Constraints())
    assert ranking.tried[0][0] == 2


def test_an_allowed_dollar_bounds_what_is_tried_dearer_but_not_what_is_cheaper():
    cheap_first = policy(willingness=0.003, exploration=Exploration(1.0, 1e-5, min_propensity=0.001))
    ranking = rank_batch(cheap_first, MODELS, unsure(0.5), Constraints())[0]
    assert ranking.allowed[0] == 2
    extra = sum(p * (EXPECTED.cost_usd[0, j] - EXPECTED.cost_usd[0, 2]) for j, p in ranking.tried)
    assert 0 < extra <= 1e-5 * (1 + 1e-9)
    dear_first = policy("single", 0.0, "none", exploration=Exploration(1.0, max_extra_cost_usd=0.0))
    assert {j for j, _ in rank_batch(dear_first, MODELS, unsure(0.5), Constraints())[0].tried} == {1, 2}


def test_a_batch_explores_as_its_requests_do_one_by_one():
    rng = np.random.default_rng(2)
    many = Expected(rng.uniform(size=(600, 3)), rng.uniform(size=(600, 3)), caution=rng.uniform(size=(600, 3)))
    together = rank_batch(EXPLORING, MODELS, many, Constraints(max_cost_usd=0.99))
    alone = [rank_batch(EXPLORING, MODELS, only(many, i), Constraints(max_cost_usd=0.99))[0] for i in range(600)]
    assert together == alone
    assert 100 < sum(bool(ranking.tried) for ranking in alone) < 600


@given(situations(), SHARES)
def test_constraints_are_never_violated_and_nobody_is_left_out_without_cause(situation, uniform):
    models, expected, _, constraints, candidates = situation
    choice = decided(situation, uniform)

    def fits(j):
        limits = ((expected.cost_usd, constraints.max_cost_usd), (expected.latency_s, constraints.max_latency_s))
        within = all(limit is None or (known is not None and known[0, j] <= limit) for known, limit in limits)
        good = constraints.min_quality is None or expected.quality[0, j] >= constraints.min_quality
        return within and good and (candidates is None or models[j] in candidates)

    assert set(choice.ranking) == {j for j in range(len(models)) if fits(j)}
    assert choice.chosen in choice.ranking


@given(situations())
def test_without_exploration_the_best_that_is_allowed_answers(situation):
    models, expected, spec, _, _ = situation
    choice = decided(situation)
    utility = utilities(spec, expected)[0]
    assert choice.chosen == choice.ranking[0]
    if spec.kind == "single" and models.index(spec.model) in choice.ranking:
        assert models[choice.chosen] == spec.model
        assert list(utility[list(choice.ranking[1:])]) == sorted(utility[list(choice.ranking[1:])], reverse=True)
    else:
        assert utility[choice.chosen] == max(utility[list(choice.ranking)])


def test_willingness_to_pay_moves_the_choice_from_cheap_to_good():
    assert [choose(policy(willingness=w)).chosen for w in (0.0, 1e-2, 1.0)] == [2, 1, 0]


def test_ties_go_to_the_cheaper_then_to_the_first():
    alike = Expected(np.full((1, 3), 0.5), np.array([[2.0, 1.0, 1.0]]))
    assert choose(policy(cost="none"), expected=alike).ranking == (1, 2, 0)


def test_failures_lower_and_latency_is_charged():
    shaky = dataclasses.replace(EXPECTED, failure=np.array([[0.9, 0.0, 0.0]] * 2))
    assert choose(policy(willingness=1.0), expected=shaky).chosen == 1
    assert choose(policy(willingness=1.0, latency_usd_per_s=0.4)).chosen == 2
    np.testing.assert_allclose(
        utilities(policy(willingness=1.0, latency_usd_per_s=0.1), EXPECTED)[0],
        EXPECTED.quality[0] - EXPECTED.cost_usd[0] - 0.1 * EXPECTED.latency_s[0],
    )


def test_cost_may_be_seconds_or_nothing_or_unknown():
    in_seconds = utilities(policy(willingness=2.0, cost="latency_s", latency_usd_per_s=9.0), EXPECTED)
    np.testing.assert_allclose(in_seconds, 2.0 * EXPECTED.quality - EXPECTED.latency_s)
    np.testing.assert_array_equal(utilities(policy(cost="none"), EXPECTED), EXPECTED.quality)
    np.testing.assert_array_equal(utilities(policy(), Expected(EXPECTED.quality)), EXPECTED.quality)


def test_a_row_is_decided_by_its_own_expectations():
    assert [choose(policy(), row=row).chosen for row in (0, 1)] == [1, 2]
    alone = Expected(*(None if v is None else v[1:] for v in vars(EXPECTED).values()))
    assert choose(policy(), row=1) == choose(policy(), row=0, expected=alone)


@pytest.mark.parametrize(
    ("constraints", "chosen", "binding"),
    [
        (Constraints(min_quality=0.85), 0, "min_quality"),
        (Constraints(max_cost_usd=1e-3), 2, "max_cost_usd"),
        (Constraints(max_latency_s=1.0), 2, "max_latency_s"),
        (Constraints(min_quality=0.6), 1, None),  # it rules out only a worse candidate
    ],
)
def test_the_constraint_that_kept_out_the_best_is_named(constraints, chosen, binding):
    choice = choose(policy(), constraints=constraints)
    assert (choice.chosen, choice.binding_constraint) == (chosen, binding)


def test_a_single_policy_answers_with_its_model_while_it_may():
    assert choose(policy("single", 0.0, "none")).ranking == (0, 1, 2)
    ruled_out = choose(policy("single", 0.0, "none"), constraints=Constraints(max_cost_usd=5e-3))
    assert (ruled_out.ranking, ruled_out.binding_constraint) == ((1, 2), "max_cost_usd")


def test_what_cannot_be_predicted_cannot_be_promised():
    with pytest.raises(NoCandidateError, match="max_cost_usd 100"):
        choose(policy(), constraints=Constraints(max_cost_usd=100.0), expected=Expected(EXPECTED.quality))


def test_when_nobody_is_left_the_message_says_what_could_be_had():
    with pytest.raises(NoCandidateError, match=r"min_quality 0.99, max_cost_usd 0.01; .* is 0.900 \(large\): relax"):
        choose(policy(), constraints=Constraints(min_quality=0.99, max_cost_usd=0.01))


def test_candidates_must_be_known_and_at_least_one():
    assert choose(policy(), candidates=["small", "large", "small"]).ranking == (2, 0)
    with pytest.raises(UnknownModelError, match="no candidate 'gpt'; the pool is large, medium, small"):
        choose(policy(), candidates=["large", "gpt"])
    with pytest.raises(NoCandidateError, match="`candidates` is empty"):
        choose(policy(), candidates=[])
    with pytest.raises(InputError, match=r"one string, give a list of names: \['large'\]"):
        choose(policy(), candidates="large")


@pytest.mark.parametrize("name", ["min_quality", "max_cost_usd", "max_latency_s"])
def test_a_constraint_that_is_no_number_is_not_ignored(name):
    with pytest.raises(InputError, match=f"`{name}` is NaN"):
        Constraints(**{name: float("nan")})


@given(OPTIONAL, OPTIONAL, OPTIONAL, OPTIONAL)
def test_tightening_keeps_the_stricter_of_both(floor, other_floor, ceiling, other_ceiling):
    one, other = Constraints(floor, ceiling, ceiling), Constraints(other_floor, other_ceiling, other_ceiling)
    tight = one.tightened(other)
    assert tight == other.tightened(one)
    assert tight.min_quality == max((v for v in (floor, other_floor) if v is not None), default=None)
    ceilings = [v for v in (ceiling, other_ceiling) if v is not None]
    assert tight.max_cost_usd == tight.max_latency_s == min(ceilings, default=None)


def test_caution_is_taken_off_quality_before_it_is_weighed():
    cautious = Expected(EXPECTED.quality, EXPECTED.cost_usd, caution=np.full(EXPECTED.quality.shape, 0.1))
    lowered = Expected(EXPECTED.quality - 0.1, EXPECTED.cost_usd)
    np.testing.assert_allclose(utilities(policy(), cautious), utilities(policy(), lowered))
    np.testing.assert_allclose(quality_acted_on(cautious), quality_acted_on(lowered))
