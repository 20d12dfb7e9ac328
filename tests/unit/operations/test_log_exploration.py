import numpy as np
import pytest

from beast_ml.operations.log_exploration import plan_exploration, requests_needed


def labelled(n, shares, seed=0):
    rng = np.random.default_rng(seed)
    quality = np.full((n, len(shares)), np.nan)
    quality[np.arange(n), rng.choice(len(shares), size=n, p=shares)] = (rng.random(n) < 0.5).astype(float)
    return quality


def test_what_a_skewed_log_leaves_open_is_named_with_what_would_answer_it():
    quality = labelled(2000, [0.98, 0.02])
    kinds = np.where(np.arange(2000) % 4 == 0, "code", "chat")
    plan = plan_exploration(("often", "rarely"), quality, kinds, np.arange(2000))
    assert plan.models == ("rarely",)
    assert {(q.kind, q.model) for q in plan.questions} == {("code", "rarely"), ("chat", "rarely")}
    code = next(q for q in plan.questions if q.kind == "code")
    assert code.n_seen == np.isfinite(quality[kinds == "code", 1]).sum()
    assert code.half_width > 0.1
    # At a tenth of the requests and a quarter of them code, answers to code come at one in forty.
    assert plan.n_requests == pytest.approx(40 * code.n_missing, rel=0.05)
    assert "'rarely' on code" in plan.sentence()
    assert f"{plan.n_requests:,} requests" in plan.sentence()


def test_following_the_plan_answers_the_question():
    plan = plan_exploration(("often", "rarely"), labelled(2000, [0.98, 0.02]), np.full(2000, ""), np.arange(2000))
    more = int(plan.n_requests)
    quality = np.vstack([labelled(2000, [0.98, 0.02]), labelled(more, [0.9, 0.1], seed=1)])
    seen = quality[np.isfinite(quality[:, 1]), 1]
    assert 1.96 * seen.std() / len(seen) ** 0.5 == pytest.approx(0.05, abs=0.004)


def test_a_log_that_tells_enough_says_so():
    plan = plan_exploration(("a", "b"), labelled(3000, [0.5, 0.5]), np.full(3000, ""), np.arange(3000))
    assert plan.questions == ()
    assert plan.n_requests == 0
    assert "answers how good every model is" in plan.sentence()


def test_repeats_of_a_question_answer_nothing_new():
    quality = labelled(3000, [0.5, 0.5])
    plan = plan_exploration(("a", "b"), quality, np.full(3000, ""), np.arange(3000) % 20)
    assert {q.n_seen for q in plan.questions} == {20}


def test_labels_that_do_not_come_make_it_longer():
    quality = labelled(2000, [0.98, 0.02])
    thin = quality.copy()
    thin[::2] = np.nan
    plans = [plan_exploration(("a", "b"), q, np.full(2000, ""), np.arange(2000)) for q in (quality, thin)]
    assert plans[1].n_requests > 1.9 * plans[0].n_requests


def test_a_wider_interval_takes_fewer():
    assert requests_needed(0.1) == pytest.approx(requests_needed(0.05) / 4, abs=1)
