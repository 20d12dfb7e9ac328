import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.benchmarks.scorecard.score import Goal, Reading, judge

VALUES = st.floats(-1e6, 1e6)


@given(VALUES, st.sampled_from(["at least", "at most", "below"]), VALUES)
def test_a_verdict_without_an_interval_is_plain(value, rule, wanted):
    goal = Goal(rule, wanted)
    assert judge(goal, Reading(value)) == ("met" if goal.met_by(value) else "not met")


@given(st.tuples(VALUES, VALUES, VALUES).map(sorted), VALUES)
def test_a_goal_inside_the_interval_is_said_to_be_there(ends, wanted):
    low, value, high = ends
    word = judge(Goal("at least", wanted), Reading(value, low, high))
    assert ("within" in word) == (low < wanted <= high)
    assert word.startswith("met") == (value >= wanted)


def test_what_has_no_goal_or_no_figure_gets_no_verdict():
    assert judge(None, Reading(1.0)) == "no goal"
    assert judge(None, None) == judge(Goal("below", 1.0), None) == "not measurable"


def test_a_share_has_an_interval_and_there_is_none_of_nothing():
    found = Reading.of_share(5, 10)
    assert (found.value, round(found.low, 3), round(found.high, 3)) == (0.5, 0.237, 0.763)
    assert Reading.of_share(0, 0) is None


@pytest.mark.parametrize("n", [1, 50])
def test_nothing_wrong_so_far_does_not_mean_nothing_wrong(n):
    assert 0.0 == Reading.of_share(0, n).low < Reading.of_share(0, n).high
