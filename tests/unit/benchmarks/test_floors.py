import pytest

from beast_ml.benchmarks.figures import Figure
from beast_ml.benchmarks.floors import FLOORS, Floor, judge, judge_all
from beast_ml.benchmarks.parts import PARTS, SCORED_PARTS
from beast_ml.benchmarks.sets import SETS


@pytest.mark.parametrize(
    ("rule", "value", "error", "met"),
    [
        ("at least", 0.31, None, True),
        ("at least", 0.30, None, True),
        ("at least", 0.29, None, False),
        ("at least", 0.29, 0.011, True),
        ("at least", 0.29, 0.009, False),
        ("at most", 0.29, None, True),
        ("at most", 0.31, 0.009, False),
        ("at most", 0.31, 0.011, True),
    ],
)
def test_a_floor_is_met_within_one_standard_error(rule, value, error, met):
    floor = Floor("p", "d", "n", rule, 0.30)
    assert judge(floor, Figure("p", "d", "beast", "n", value, error, 0.0, 1.0)).met is met


@pytest.mark.parametrize(("high", "met"), [(0.01, True), (0.0, True), (-0.01, False)])
def test_a_small_set_fails_only_where_its_interval_lies_below(high, met):
    floor = Floor("p", "d", "n", "not below", 0.0)
    assert judge(floor, Figure("p", "d", "beast", "n", -0.05, 0.2, -0.1, high)).met is met


@pytest.mark.parametrize(("high", "met"), [(0.004, True), (0.006, False)])
def test_an_upper_bound_is_judged_by_the_end_of_the_interval(high, met):
    floor = Floor("p", "d", "n", "upper bound at most", 0.005)
    assert judge(floor, Figure("p", "d", "beast", "n", 0.001, None, -0.01, high)).met is met


def test_what_was_not_measured_has_no_verdict():
    floor = Floor("p", "d", "n", "at least", 0.0)
    assert judge(floor, None).met is None
    assert judge(floor, Figure("p", "d", "beast", "n", None)).met is None


def test_floors_are_for_our_router_and_the_encoder_of_the_run():
    figures = [
        Figure("shares", "mmlu", "knn", "share_of_gap", 0.9),
        Figure("shares", "mmlu", "beast", "share_of_gap", 0.3),
    ]
    met = {
        encoder: [
            v.met for v in judge_all(figures, encoder) if (v.floor.dataset, v.floor.name) == ("mmlu", "share_of_gap")
        ]
        for encoder in ("static", "minilm")
    }
    assert met == {"static": [True], "minilm": [False]}


def test_every_floor_is_under_a_part_and_a_set_that_exist():
    for floor in FLOORS:
        assert floor.part in PARTS
        if floor.part in SCORED_PARTS:
            assert floor.dataset.partition(",")[0] in SETS
