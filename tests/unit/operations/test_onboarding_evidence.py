import dataclasses

import msgspec
import numpy as np
import pytest

from beast_ml.domain import Objective, Price
from beast_ml.operations.onboarding_evidence import weaken
from beast_ml.policy.spec import PolicySpec
from beast_ml.predictors.onboard import NewCandidate, ProbeAnswers, add_to_pool
from beast_ml.registry.gates import Gates, judge
from beast_ml.testing.registry import make_evidence
from beast_ml.testing.worlds import make_world

NEW = "newest"


@pytest.fixture(scope="module")
def rows(loaded):
    return loaded.features.matrix(make_world(np.random.default_rng(5), 200, prefix="e").outcomes.prompts)


@pytest.fixture
def evidence():
    return make_evidence(best_single_model="large")


def enlarged(bundle, rows, expected, price, n_probes=0):
    answers = None
    if n_probes:
        right = (np.random.default_rng(1).random(n_probes) < expected).astype(float)
        unknown = np.full(n_probes, np.nan)
        answers = ProbeAnswers(rows[:n_probes], right, *([unknown] * 5))
    return add_to_pool(bundle.predictors, NewCandidate(NEW, expected, True, price), rows, answers)[0]


def test_a_candidate_that_gets_nothing_changes_nothing(loaded, rows, evidence):
    dear_and_bad = enlarged(loaded, rows, 0.05, Price(500.0, 1500.0))
    weaker = weaken(evidence, loaded, dear_and_bad, NEW, rows, is_probed=False)
    assert weaker.share == 0.0
    assert weaker.evidence is evidence


def test_a_router_that_always_answers_with_one_model_stays_as_proven(loaded, rows, evidence):
    single = dataclasses.replace(loaded, policy=PolicySpec("single", "large", Objective(0.0), "none"))
    good = enlarged(loaded, rows, 0.95, Price(0.01, 0.01))
    assert weaken(evidence, single, good, NEW, rows, is_probed=True).evidence is evidence


def test_unjudged_answers_may_all_be_wrong_or_all_be_right(loaded, rows, evidence):
    good = enlarged(loaded, rows, 0.9, Price(0.1, 0.3))
    weaker = weaken(evidence, loaded, good, NEW, rows, is_probed=False)
    before, after = evidence.quality_gain, weaker.evidence.quality_gain
    assert 0.3 < weaker.share <= 1.0
    # From all wrong to all right is one whole answer on each request it takes.
    assert (after.high - after.low) - (before.high - before.low) == pytest.approx(weaker.share)
    assert not judge(weaker.evidence, Gates()).passed


def test_judged_answers_bound_what_may_be_lost(loaded, rows, evidence):
    price = Price(0.1, 0.3)
    lows = [
        weaken(
            evidence, loaded, enlarged(loaded, rows, 0.9, price, n), NEW, rows, is_probed=n > 0
        ).evidence.quality_gain.low
        for n in (0, 20, 200)
    ]
    assert sorted(lows) == lows
    assert lows[-1] > lows[0] + 0.3


def test_what_it_costs_beyond_the_displaced_models_comes_off_the_saving(loaded, rows, evidence):
    cheap = weaken(evidence, loaded, enlarged(loaded, rows, 0.95, Price(0.1, 0.3), 200), NEW, rows, is_probed=True)
    dear = weaken(evidence, loaded, enlarged(loaded, rows, 0.95, Price(10.0, 30.0), 200), NEW, rows, is_probed=True)
    assert dear.share > 0.0
    assert dear.evidence.cost_saving.mean < cheap.evidence.cost_saving.mean
    for one in (cheap, dear):
        saving = one.evidence.cost_saving
        assert saving.low <= saving.mean <= saving.high


def with_policy(bundle, **changes):
    objective = Objective(bundle.policy.objective.willingness_to_pay, **changes.pop("objective", {}))
    return dataclasses.replace(bundle, policy=PolicySpec("router", "large", objective, "cost_usd", **changes))


def test_what_a_standing_constraint_keeps_out_changes_nothing(loaded, rows, evidence):
    good = enlarged(loaded, rows, 0.95, Price(10.0, 30.0), 200)
    willing = with_policy(loaded)
    assert weaken(evidence, willing, good, NEW, rows, is_probed=True).share > 0.4
    cheapest = float(good.predict(rows).cost_usd[:, good.models.index(NEW)].min())
    bound = with_policy(loaded, objective={"max_cost_usd": 0.99 * cheapest})
    assert weaken(evidence, bound, good, NEW, rows, is_probed=True).evidence is evidence


def test_where_a_constraint_leaves_nobody_nothing_is_decided(loaded, rows, evidence):
    nobody = with_policy(loaded, objective={"max_cost_usd": 0.0})
    good = enlarged(loaded, rows, 0.9, Price(0.1, 0.3))
    assert weaken(evidence, nobody, good, NEW, rows, is_probed=False).evidence is evidence


def test_exploration_sends_the_new_candidate_its_part(loaded, rows, evidence):
    single = dataclasses.replace(loaded, policy=PolicySpec("single", "large", Objective(0.0), "none", 0.2))
    weaker = weaken(evidence, single, enlarged(loaded, rows, 0.9, Price(0.1, 0.3)), NEW, rows, is_probed=False)
    assert weaker.share == pytest.approx(0.2 / 4)
    lost = weaker.evidence.quality_gain.low - evidence.quality_gain.low
    # All of its part may be wrong, and what displaces it elsewhere is three times a twelfth of the exploration.
    assert -0.2 / 4 <= lost < 0.0


def test_a_saving_against_the_logging_policy_is_a_share_of_what_that_paid(loaded, rows, evidence):
    saved, paid = evidence.cost_saving.mean, 0.5
    logged = msgspec.structs.replace(evidence, source="log", reference="logging_policy", router_cost=paid)
    weaker = weaken(logged, loaded, enlarged(loaded, rows, 0.95, Price(0.1, 0.3), 200), NEW, rows, is_probed=True)
    after = weaker.evidence
    assert after.router_cost == pytest.approx(paid / (1.0 - saved) * (1.0 - after.cost_saving.mean))
