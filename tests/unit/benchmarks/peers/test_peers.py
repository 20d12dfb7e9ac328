import importlib.util

import numpy as np
import pytest

from beast_ml.benchmarks.peers import installed
from beast_ml.benchmarks.peers.embedded import EmbeddedLearner, Examples
from beast_ml.benchmarks.peers.llmrouter import FAMILIES, ROW_ORDERS, fit_scores
from beast_ml.benchmarks.peers.paretobandit import Components, log_prices, warm_start
from beast_ml.benchmarks.peers.routellm import fit_matrix_factorisation, win_rates
from beast_ml.errors import MissingExtraError
from beast_ml.features.hashing import HashingEncoder
from beast_ml.logs.outcomes import OutcomeMatrix
from beast_ml.policy.utility import choose
from beast_ml.testing.worlds import make_world, thin_out

HAS_LLMROUTER = importlib.util.find_spec("llmrouter") is not None
needs_llmrouter = [
    pytest.mark.slow,  # importing it takes seconds
    pytest.mark.skipif(
        not HAS_LLMROUTER, reason="LLMRouter is not installed: pip install --no-deps llmrouter-lib==0.4.0"
    ),
    # It imports its optional parts too, which announce changes of their own dependencies.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]
every_peer = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=needs_llmrouter if name.startswith("llmrouter") else ()) for name in installed.PEERS],
)


@every_peer
def test_peers_keep_the_contract_of_learners(name: str, outcomes: OutcomeMatrix, encoder: HashingEncoder):
    data = thin_out(outcomes, np.random.default_rng(0), 0.05)
    fitted = installed.PEERS[name](encoder).fit(data, "cost_usd", 0)
    assert fitted.models == data.models
    new = fitted.predict(data.prompts[:7], None)
    for predictions, n in ((fitted.out_of_fold, data.n_queries), (new, 7)):
        assert predictions.models == data.models
        assert predictions.quality.shape == predictions.cost.shape == (n, 3)
        assert ((predictions.quality >= 0) & (predictions.quality <= 1)).all()
        assert np.isfinite(predictions.cost).all()
    assert (new.cost[:, 0] > new.cost[:, 2]).all()  # large is dearer than small
    alone = fitted.predict(data.prompts[3:4], None)
    np.testing.assert_allclose(alone.quality[0], new.quality[3], atol=1e-6)


@every_peer
def test_a_peer_fitted_twice_decides_alike(name: str, outcomes: OutcomeMatrix, encoder: HashingEncoder):
    first, second = (
        installed.PEERS[name](encoder).fit(outcomes, "cost_usd", 1).predict(outcomes.prompts[:50], None)
        for _ in range(2)
    )
    np.testing.assert_array_equal(choose(first, np.inf), choose(second, np.inf))


def test_the_matrix_factorisation_learns_who_is_right_when(encoder: HashingEncoder):
    outcomes = make_world(np.random.default_rng(1), 1200).outcomes
    vectors = encoder.encode(outcomes.prompts)
    score = fit_matrix_factorisation(Examples(vectors[:800], outcomes.quality[:800], np.ones(3), 0))
    scores, quality = score(vectors[800:]), outcomes.quality[800:]
    ahead, gap = scores[:, 0] - scores[:, 2], quality[:, 0] - quality[:, 2]
    assert ahead[gap > 0].mean() > ahead[gap <= 0].mean() + 0.05


def test_out_of_fold_scores_come_from_fits_that_did_not_see_the_question(outcomes, encoder):
    seen: list[int] = []

    def remember(examples: Examples):
        known = {row.tobytes() for row in examples.vectors}
        seen.append(len(known))
        return lambda vectors: np.array([[float(row.tobytes() in known)] * 3 for row in vectors])

    fitted = EmbeddedLearner(encoder, remember).fit(outcomes, "cost_usd", 0)
    assert fitted.out_of_fold.quality.max() == 0.0
    assert fitted.predict(outcomes.prompts[:5], None).quality.min() == 1.0
    assert len(seen) == 4


def test_win_rates_of_two_models_are_the_sigmoid_of_their_difference():
    rates = win_rates(np.array([[2.0, 0.5], [0.0, 0.0]]))
    np.testing.assert_allclose(rates[0, 0], 1 / (1 + np.exp(-1.5)))
    np.testing.assert_allclose(rates.sum(axis=1), 1.0)


def test_the_bandit_holds_what_its_own_updates_would_have_left(outcomes, encoder):
    contexts = Components(encoder.encode(outcomes.prompts))(encoder.encode(outcomes.prompts[:30]))
    quality = thin_out(outcomes, np.random.default_rng(0), 0.3).quality[:30]
    policy = warm_start(contexts, quality)
    from pareto_bandit import DisjointLinUCBPolicy

    one_by_one = DisjointLinUCBPolicy(["0", "1", "2"], dim=contexts.shape[1])
    for context, rewards in zip(contexts, quality, strict=True):
        for j in np.flatnonzero(np.isfinite(rewards)):
            one_by_one.update(str(j), context, float(rewards[j]))
    for model in policy.models:
        np.testing.assert_allclose(policy.theta[model], one_by_one.theta[model], atol=1e-6)


def test_prices_that_are_all_alike_or_unknown_stay_as_they_are():
    assert log_prices(np.array([2.0, 2.0])).tolist() == [2.0, 2.0]
    assert log_prices(np.array([0.0, 2.0])).tolist() == [0.0, 2.0]


def test_a_peer_that_is_not_installed_says_what_it_lacks(encoder, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    here, missing = installed.peers_here(encoder)
    assert list(here) == ["routellm_mf"]
    assert len(missing) == 7
    assert "pip install --no-deps llmrouter-lib==0.4.0" in missing["llmrouter_mf_dear_first"]
    with pytest.raises(MissingExtraError, match=r'ParetoBandit as a peer needs the "peers" extra'):
        installed.PEERS["paretobandit"](encoder)


def ties(n: int = 600) -> Examples:
    """Both models are always right: there is nothing to learn but who comes first."""
    vectors = 2.0 + np.random.default_rng(0).standard_normal((n, 8))
    return Examples(vectors.astype(np.float32), np.ones((n, 2)), np.array([1.0, 9.0]), 0)


class TestRowOrder:
    pytestmark = needs_llmrouter

    @pytest.mark.parametrize("family", FAMILIES)
    def test_llmrouter_follows_the_order_of_rows_where_models_are_equally_good(self, family):
        examples = ties()
        chosen = [fit_scores(family, order, examples)(examples.vectors).argmax(axis=1).mean() for order in ROW_ORDERS]
        assert chosen[0] < 0.05  # the cheap model, whose row came first
        assert chosen[1] > 0.95
