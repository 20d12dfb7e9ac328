import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.cache.verifier.risk import (
    RiskTarget,
    binomial_p_value,
    choose_threshold,
    design_effect,
    false_hit_bound,
    hypergeometric_p_value,
)
from beast_ml.errors import InputError


@pytest.mark.parametrize(("wrong", "n", "epsilon"), [(0, 300, 0.01), (7, 1000, 0.01), (40, 900, 0.05), (3, 4, 0.5)])
def test_the_binomial_p_value_is_scipys(wrong, n, epsilon):
    stats = pytest.importorskip("scipy.stats")
    assert binomial_p_value(wrong, n, epsilon) == pytest.approx(stats.binom.cdf(wrong, n, epsilon), rel=1e-9)


@pytest.mark.parametrize(
    ("wrong", "n", "horizon", "epsilon"), [(0, 300, 300, 0.01), (5, 900, 400, 0.02), (2, 50, 9, 0.3)]
)
def test_the_hypergeometric_p_value_is_scipys(wrong, n, horizon, epsilon):
    stats = pytest.importorskip("scipy.stats")
    bad = wrong + int(epsilon * horizon) + 1
    expected = stats.hypergeom.cdf(wrong, n + horizon, bad, n)
    assert hypergeometric_p_value(wrong, n, horizon, epsilon) == pytest.approx(expected, rel=1e-9)


def test_a_promise_about_few_lookups_needs_more_evidence_than_one_about_the_long_run():
    few, many = (hypergeometric_p_value(5, 1000, horizon, 0.01) for horizon in (500, 10**8))
    assert many < few
    assert many == pytest.approx(binomial_p_value(5, 1000, 0.01), rel=1e-3)


def test_the_bound_of_a_rate_covers_it():
    stats = pytest.importorskip("scipy.stats")
    assert false_hit_bound(7, 1000, 0.05) == pytest.approx(stats.beta.ppf(0.95, 8, 993), rel=1e-6)
    assert false_hit_bound(0, 0, 0.05) == 1.0


@pytest.mark.parametrize("bad", [{"epsilon": 0.0}, {"epsilon": 1.0}, {"epsilon": 0.01, "delta": 1.5}])
def test_a_target_outside_zero_and_one_is_refused(bad):
    with pytest.raises(InputError, match="must be above 0 and below 1"):
        RiskTarget(**bad)


def test_too_few_lookups_allow_nothing():
    threshold = choose_threshold([0.9] * 10, [True] * 10, RiskTarget(0.01, 0.05))
    assert threshold.value == float("inf")
    assert threshold.n_hits == 0


def test_no_lookups_at_all_allow_nothing():
    assert choose_threshold([], [], RiskTarget(0.01)).value == float("inf")


def test_equal_scores_hit_together_or_not_at_all():
    scores = np.array([0.9] * 500 + [0.5] * 500)
    right = np.array([True] * 500 + [True, False] * 250)
    assert choose_threshold(scores, right, RiskTarget(0.01)).value == 0.9


def test_a_lookup_without_a_candidate_counts_but_never_hits():
    scores = np.concatenate([np.linspace(0.5, 1, 100), np.full(900, -np.inf)])
    right = np.concatenate([np.linspace(0.5, 1, 100) > 0.6, np.zeros(900, bool)])
    threshold = choose_threshold(scores, right, RiskTarget(0.01, 0.05))
    assert threshold.n_lookups == 1000
    assert 80 <= threshold.n_hits <= 90


def test_wrong_hits_that_share_a_text_count_as_fewer_than_they_look():
    rng = np.random.default_rng(0)
    scores, right = rng.random(2000), rng.random(2000) > 0.03
    apart = np.arange(4000).reshape(2000, 2)
    shared = apart.copy()
    shared[~right, 1] = np.repeat(np.arange(1000), 4)[: (~right).sum()] + 10_000
    alone = choose_threshold(scores, right, RiskTarget(0.02), texts=apart)
    together = choose_threshold(scores, right, RiskTarget(0.02), texts=shared)
    assert alone.design_effect == 1.0
    assert together.design_effect > 1.5
    assert together.value > alone.value


def test_what_is_left_of_a_count_is_never_rounded_to_a_smaller_p_value():
    assert binomial_p_value(1.2, 500.9, 0.01) == binomial_p_value(2, 500, 0.01)
    assert hypergeometric_p_value(1.2, 500.9, 300.0, 0.01) == hypergeometric_p_value(2, 500, 300, 0.01)


def of_entries(n_entries, n_wordings):
    """Return the texts of lookups: each entry asked for in so many wordings of its own."""
    n = n_entries * n_wordings
    return np.column_stack([np.repeat(np.arange(n_entries), n_wordings), n_entries + np.arange(n)])


def test_many_wordings_of_few_entries_are_little_evidence_though_nothing_is_wrong():
    scores, right, target = np.full(1000, 0.9), np.ones(1000, dtype=bool), RiskTarget(0.01)
    assert choose_threshold(scores, right, target, texts=of_entries(1000, 1)).n_hits == 1000
    assert choose_threshold(scores, right, target, texts=of_entries(50, 20)).n_hits == 0
    many = choose_threshold(scores.repeat(20), right.repeat(20), target, texts=of_entries(1000, 20))
    assert (many.n_hits, many.design_effect) == (20_000, 20.0)


def test_lookups_asked_again_in_the_same_words_count_once():
    texts = np.repeat(of_entries(500, 1), 3, axis=0)
    texts[1::3] = texts[1::3, ::-1]  # whichever text is first
    threshold = choose_threshold(np.full(1500, 0.9), np.ones(1500, dtype=bool), RiskTarget(0.01), texts=texts)
    assert threshold.design_effect == 3.0
    assert threshold.p_value == binomial_p_value(0, 500, 0.01)


def test_a_popular_entry_at_the_top_does_not_end_the_sequence():
    scores, right = np.linspace(1, 0, 5000), np.arange(5000) < 4900
    texts = of_entries(5000, 1)
    texts[:20, 0] = 0  # twenty lookups alone, all of one entry, could not pass with nothing wrong
    threshold = choose_threshold(scores, right, RiskTarget(0.01), texts=texts)
    assert threshold.n_hits > 4900


def test_the_effect_of_decided_lookups_is_of_the_hits_alone():
    texts, hit, right = of_entries(50, 20), np.zeros(1000, dtype=bool), np.ones(1000, dtype=bool)
    assert design_effect(hit, ~right, texts) == 1.0
    hit[::4] = True  # five of each entry
    assert design_effect(hit, right, texts) == 5.0
    texts[::20, 1] = 7000  # one hit of each entry, wrong through one other text
    assert design_effect(hit, np.arange(1000) % 20 != 0, texts) == 50.0


@pytest.mark.parametrize("horizon", [None, 1000])
def test_the_promise_holds_where_all_wordings_of_an_entry_are_wrong_together(horizon):
    rng, target, n_draws, broken = np.random.default_rng(4), RiskTarget(0.01), 100, 0
    for _ in range(n_draws):
        wrong = np.repeat(rng.random((2, 50)) < 0.03, 20, axis=1)  # of the lookups learnt from, and of the next ones
        scores = rng.random((2, 1000))
        chosen = choose_threshold(scores[0], ~wrong[0], target, texts=of_entries(50, 20), horizon=horizon)
        rate = 0.03 * max(1 - chosen.value, 0) if horizon is None else ((scores[1] >= chosen.value) & wrong[1]).mean()
        broken += rate > target.epsilon
    assert broken / n_draws <= target.delta + 3 * np.sqrt(target.delta * (1 - target.delta) / n_draws)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=80), st.sampled_from([0.05, 0.2, 0.5]))
def test_the_threshold_is_the_loosest_that_passes_in_sequence(rows, epsilon):
    scores, right = [score for score, _ in rows], [good for _, good in rows]
    threshold = choose_threshold(scores, right, RiskTarget(epsilon, 0.1))
    looser = [score for score in sorted(set(scores), reverse=True) if score < threshold.value]
    hits = [good for score, good in rows if score >= threshold.value]
    assert (len(hits), hits.count(False)) == (threshold.n_hits, threshold.n_wrong)
    if looser:  # the next one does not pass
        wrong = sum(score >= looser[0] and not good for score, good in rows)
        assert binomial_p_value(wrong, len(rows), epsilon) > 0.1


def _lookups(rng, n):
    """Scores, rightness, and texts; wrong hits come in threes now and then."""
    score = rng.random(n)
    right = rng.random(n) > np.where(score > 0.5, 0.12 * (1 - score), 0.6)
    return score, right


def _true_rate(threshold):
    """Wrong hits over lookups at a threshold above 0.5 of `_lookups`: the integral of 0.12 (1 - s)."""
    above = min(threshold, 1.0)
    return 0.06 * (1 - above) ** 2 if above >= 0.5 else 0.015 + 0.6 * (0.5 - above)


@pytest.mark.slow
def test_the_long_run_rate_is_above_epsilon_in_at_most_delta_of_draws():
    rng, delta, n_draws = np.random.default_rng(1), 0.1, 800
    broken = 0
    for _ in range(n_draws):
        threshold = choose_threshold(*_lookups(rng, 600), RiskTarget(0.01, delta))
        broken += _true_rate(threshold.value) > 0.01
    assert broken / n_draws <= delta + 3 * np.sqrt(delta * (1 - delta) / n_draws)
    assert broken > 0  # not vacuous: it uses what it may


@pytest.mark.slow
def test_the_rate_among_the_next_lookups_is_above_epsilon_in_at_most_delta_of_draws():
    rng, delta, n_draws = np.random.default_rng(2), 0.1, 800
    broken = 0
    for _ in range(n_draws):
        threshold = choose_threshold(*_lookups(rng, 600), RiskTarget(0.01, delta), horizon=500)
        score, right = _lookups(rng, 500)
        broken += ((score >= threshold.value) & ~right).sum() > 5
    assert broken / n_draws <= delta + 3 * np.sqrt(delta * (1 - delta) / n_draws)
    assert broken / n_draws > delta / 3  # exact, so nearly used up


@pytest.mark.slow
def test_the_promise_holds_where_lookups_are_wrong_in_groups():
    rng, delta, n_draws = np.random.default_rng(3), 0.1, 500
    broken = 0

    def grouped(n_groups):
        # Four lookups of one entry, with one fate and nearly one score.
        score, right = _lookups(rng, n_groups)
        texts = np.column_stack([np.repeat(np.arange(n_groups), 4), n_groups + np.arange(4 * n_groups)])
        return np.repeat(score, 4) - rng.random(4 * n_groups) * 1e-6, np.repeat(right, 4), texts

    for _ in range(n_draws):
        score, right, texts = grouped(400)
        threshold = choose_threshold(score, right, RiskTarget(0.01, delta), texts=texts, horizon=1600)
        score, right, _ = grouped(400)
        broken += ((score >= threshold.value) & ~right).mean() > 0.01
    assert broken / n_draws <= delta + 3 * np.sqrt(delta * (1 - delta) / n_draws)
