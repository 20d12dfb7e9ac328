from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beast_ml.errors import InputError
from beast_ml.logs import sample
from beast_ml.logs.sample import sample_log
from beast_ml.logs.splits import question_numbers
from beast_ml.testing.costly_logs import COSTLY_START, costly_log


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Every question is asked three times or so."""
    names = iter(range(10_000))

    def ask(row):
        row["prompt"] = f"What is {next(names) % 100}?"

    return costly_log(tmp_path_factory.mktemp("log"), days=10, per_day=40, change=ask)


def test_all_are_taken_where_they_are_few_or_all_are_asked_for(store):
    for at_most in (0, 10_000):
        drawn = sample_log(store, at_most)
        assert drawn.logged.matrix.digest() == store.logged_outcomes().matrix.digest()
        assert drawn.warning() is None


def test_questions_are_taken_whole_and_the_same_ones_each_time(store):
    whole, part = store.logged_outcomes(), sample_log(store, 120)
    drawn = set(part.logged.matrix.prompts)
    taken = [prompt for prompt in whole.matrix.prompts if prompt in drawn]
    assert sorted(part.logged.matrix.prompts) == sorted(taken)
    assert 60 < len(taken) < 180
    assert part.n_usable == whole.matrix.n_queries
    assert part.logged.matrix.digest() == sample_log(store, 120).logged.matrix.digest()
    assert f"learning from {len(taken)} of {whole.matrix.n_queries} requests" in part.warning()


def test_more_requests_hold_all_that_fewer_do(store):
    few, more = (set(sample_log(store, n).logged.matrix.query_ids.tolist()) for n in (60, 200))
    assert few < more


def test_somebody_is_drawn_even_where_so_few_are_asked_for_that_no_share_is_left(store, monkeypatch):
    monkeypatch.setattr(sample, "_BUCKETS", 10)
    assert sample_log(store, 1).logged.matrix.n_queries == 1


def test_a_negative_number_is_refused(store):
    with pytest.raises(InputError, match="`requests` == -1, must be >= 0"):
        sample_log(store, -1)


POLICIES = ("policy_version = 'now'", "policy_version = 'before'")


@pytest.fixture(scope="module")
def two_policies(tmp_path_factory):
    """A log of which a sixth is of the policy that serves now; every fourth request asks what everybody asks."""
    turns = iter(range(10_000))

    def ask(row):
        turn = next(turns)
        row["prompt"] = "What everybody asks" if turn % 4 == 0 else f"What is {turn % 200}?"
        if turn % 8 == 0:
            row["prompt"] = f" {row['prompt'].upper()}  "
        row["policy_version"] = "now" if turn % 6 == 1 else "before"
        if turn % 50 == 7:
            row["policy_version"] = None

    return costly_log(tmp_path_factory.mktemp("two"), days=4, per_day=400, change=ask)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at_most=st.integers(1, 1_500), hot=st.integers(1, 150), salt=st.sampled_from(["", "it's", "cycle 2"]))
def test_never_more_than_asked_for_and_no_policy_starved(two_policies, at_most, hot, salt):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sample, "_LEAST_HOT", hot)
        drawn = sample_log(two_policies, at_most, strata=POLICIES, salt=salt)
        again = sample_log(two_policies, at_most, strata=POLICIES, salt=salt)
    found, whole = drawn.logged, two_policies.logged_outcomes()
    assert found.matrix.n_queries <= at_most
    assert found.matrix.digest() == again.logged.matrix.digest()
    of_a_question = min(at_most, max(hot, at_most // 100))
    sizes = {name: int((whole.policy_version == name).sum()) for name in ("now", "before")}
    assert drawn.n_usable == sum(sizes.values())
    for name, size in sizes.items():
        asked, taken = (times_asked(each, name) for each in (whole, found))
        part = min(size, max(at_most // 2, at_most - (sum(sizes.values()) - size)))
        there = asked.sum() if part == size else np.minimum(asked, of_a_question).sum()
        assert taken.sum() > min(part, there) - of_a_question - 1  # the next question may not have fitted in
        if part < size:
            assert taken.max(initial=0) <= of_a_question


def times_asked(logged, policy):
    """Return how often a policy was asked each question."""
    prompts = [prompt for prompt, by in zip(logged.matrix.prompts, logged.policy_version, strict=True) if by == policy]
    return np.bincount(question_numbers(prompts)) if prompts else np.zeros(0, dtype=int)


def test_what_everybody_asks_does_not_crowd_out_the_rest(two_policies):
    whole, part = two_policies.logged_outcomes(), sample_log(two_policies, 400).logged
    asked = [np.bincount(question_numbers(each.matrix.prompts)) for each in (whole, part)]
    assert asked[0].max() > 100  # more than a question may take
    assert asked[1].max() <= 100
    assert len(asked[1]) > 0.6 * 300 * len(asked[0]) / whole.matrix.n_queries


def test_another_salt_draws_other_questions_and_times_bound_what_is_drawn_from(two_policies):
    until = COSTLY_START + timedelta(days=2)
    one, other = (sample_log(two_policies, 200, until=until, salt=salt).logged for salt in ("cycle 1", "cycle 2"))
    assert set(one.matrix.prompts) != set(other.matrix.prompts)
    assert max(one.received_at.max(), other.received_at.max()) < np.datetime64(until.replace(tzinfo=None))


def test_estimates_of_a_policy_are_unbiased_though_the_strata_are_drawn_at_different_rates(two_policies):
    """Over salts, the inverse-propensity estimate of always 'large' is that of all of the policy's requests."""

    def estimate(logged):
        of_policy = logged.policy_version == "now"
        large = logged.chosen == logged.matrix.models.index("large")
        answered = np.nan_to_num(logged.matrix.quality[:, logged.matrix.models.index("large")])
        value = (large * answered / logged.propensity)[of_policy]
        question = question_numbers(
            [prompt for prompt, his in zip(logged.matrix.prompts, of_policy, strict=True) if his]
        )
        return (np.bincount(question, value) / np.bincount(question)).mean()

    samples = [sample_log(two_policies, 160, strata=POLICIES, salt=f"cycle {i}").logged for i in range(12)]
    shares = [(each.policy_version == "now").mean() for each in samples]
    assert np.mean(shares) > 0.4  # a sixth of the log
    found, truth = np.array([estimate(each) for each in samples]), estimate(two_policies.logged_outcomes())
    assert abs(found.mean() - truth) < 3.5 * found.std(ddof=1) / len(found) ** 0.5
    assert found.std() > 0
