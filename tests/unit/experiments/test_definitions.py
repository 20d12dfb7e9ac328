from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.errors import InputError
from beast_ml.experiments.definitions import POINTS, Experiment, Variant
from beast_ml.experiments.experiments_file import Experiments
from beast_ml.testing.experiments import arms


def points(experiment: Experiment) -> dict[str, list[tuple[int, int]]]:
    return {each.name: list(each.ranges) for each in experiment.laid_out().variants}


def size(ranges: list[tuple[int, int]]) -> int:
    return sum(high - low + 1 for low, high in ranges)


def common(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> int:
    return sum(max(0, min(high, top) - max(low, bottom) + 1) for low, high in a for bottom, top in b)


share_lists = st.lists(st.integers(0, 1000), min_size=3, max_size=3).filter(lambda parts: sum(parts) <= 1000)


def test_points_are_as_many_as_the_shares_say():
    owned = points(Experiment(id="e", variants=arms(control=0.3, new=0.1)))
    assert size(owned["control"]) == int(Fraction(0.3) * POINTS)
    assert size(owned["new"]) == int(Fraction(0.1) * POINTS)
    assert common(owned["control"], owned["new"]) == 0


@pytest.mark.parametrize("n", [1, 2, 3, 6, 7, 10, 49])
def test_shares_that_sum_to_one_leave_nobody_out(n):
    names = ["control", *(f"v{i}" for i in range(n - 1))]
    owned = points(Experiment(id="e", variants=arms(**dict.fromkeys(names, 1 / n))))
    assert sum(map(size, owned.values())) == POINTS


@given(share_lists, share_lists)
def test_a_change_of_shares_moves_no_unit_that_need_not_move(first, second):
    names = ("control", "a", "b")
    before = Experiment(id="e", variants=arms(**{n: s / 1000 for n, s in zip(names, first, strict=True)}))
    after = before.with_shares({n: s / 1000 for n, s in zip(names, second, strict=True)})
    old, new = points(before), points(after)
    for name in names:
        assert common(old[name], new[name]) == min(size(old[name]), size(new[name]))
        assert abs(size(new[name]) - (dict(zip(names, second, strict=True))[name] * POINTS // 1000)) < POINTS // 10**9
        for other in names:
            assert name == other or common(new[name], new[other]) == 0


def test_laying_out_twice_changes_nothing():
    once = Experiment(id="e", variants=arms(control=0.2, new=0.2)).with_shares({"new": 0.5}).laid_out()
    assert once.laid_out() == once


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"id": "a b", "variants": arms(control=1)}, "use 1 to 64 letters"),
        ({"id": "e", "variants": arms(control=0.6, new=0.6)}, "sum to 1.2, must be at most 1"),
        ({"id": "e", "variants": arms(control=0.6, new=-0.1)}, "share -0.1, must be in 0..1"),
        ({"id": "e", "variants": arms(control=float("nan"))}, "share nan"),
        ({"id": "e", "variants": arms(new=0.1)}, "no `control`"),
        ({"id": "e", "variants": (*arms(control=0.1), *arms(control=0.1))}, "2 variants 'control'"),
        ({"id": "e"}, "neither variants nor a shadow"),
        ({"id": "e", "shadow": "champion"}, "shadows 'champion'"),
        ({"id": "e", "shadow": "shadow", "shadow_share": 2.0}, "`shadow_share` == 2.0"),
        ({"id": "e", "variants": arms(control=1), "unit": "tenant"}, "draws by 'tenant'"),
        ({"id": "e", "variants": arms(control=1), "tenants": ()}, "empty list of tenants"),
        (
            {"id": "e", "variants": (Variant(name="control", policy="shadow", share=1),)},  # type: ignore[arg-type]
            "never served",
        ),
        (
            {"id": "e", "variants": (Variant(name="control", policy="champion", share=1, ranges=((5, 2),)),)},
            "leave `ranges` out",
        ),
    ],
)
def test_an_impossible_experiment_is_refused_in_words(wrong, said):
    with pytest.raises(InputError, match=said):
        Experiment(**wrong)


def test_shares_of_an_unknown_variant_are_refused():
    with pytest.raises(InputError, match=r"no variant 'old', only control"):
        Experiment(id="e", variants=arms(control=1)).with_shares({"old": 0.1})


def test_a_new_version_of_an_experiment_keeps_its_units():
    first = Experiments().put(Experiment(id="e", variants=arms(control=0.1, new=0.1)))
    grown = first.put(Experiment(id="e", variants=arms(control=0.3, new=0.3)))
    old, new = points(first.experiments[0]), points(grown.experiments[0])
    assert all(common(old[name], new[name]) == size(old[name]) for name in old)
    assert len(grown.experiments) == 1
