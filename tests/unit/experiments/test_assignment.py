import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.errors import InputError
from beast_ml.experiments.assignment import Assigner, Assigners, mixture_propensity, shadow_context
from beast_ml.experiments.definitions import Experiment, Variant
from beast_ml.experiments.experiments_file import Experiments


def compared(control: float = 0.5, new: float = 0.5, **changes) -> Experiment:
    variants = (
        Variant(name="control", policy="champion", share=control),
        Variant(name="new", policy="challenger", share=new),
    )
    return Experiment(**({"id": "e", "variants": variants} | changes))


@given(st.text())
def test_a_unit_always_gets_the_same_variant(unit):
    assert Assigner(compared()).assign(unit) == Assigner(compared()).assign(unit)


def test_another_process_draws_the_same():
    units = [f"user-{i}" for i in range(50)]
    code = (
        "from beast_ml.experiments.assignment import Assigner\n"
        "from beast_ml.experiments.definitions import Experiment, Variant\n"
        "both = (Variant(name='control', policy='champion', share=0.5), "
        "Variant(name='new', policy='challenger', share=0.5))\n"
        "drawn = Assigner(Experiment(id='e', variants=both))\n"
        "print(*(drawn.assign(f'user-{i}').variant for i in range(50)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == [Assigner(compared()).assign(unit).variant for unit in units]


def test_experiments_draw_independently_of_each_other():
    a, b = Assigner(compared(id="a")), Assigner(compared(id="b"))
    same = sum(a.assign(f"u{i}").variant == b.assign(f"u{i}").variant for i in range(10_000))
    assert abs(same - 5_000) < 5 * 50


def test_no_unit_leaves_a_variant_that_grows():
    before = compared(0.1, 0.1)
    grown = before.with_shares({"control": 0.3, "new": 0.5})
    first, second = Assigner(before), Assigner(grown)
    for i in range(5_000):
        variant = first.assign(f"u{i}").variant
        assert variant is None or second.assign(f"u{i}").variant == variant


def test_who_takes_no_part_is_served_by_the_champion():
    drawn = Assigner(compared(0.0, 0.0)).assign("anybody")
    assert (drawn.experiment_id, drawn.variant, drawn.policy, drawn.probability) == (None, None, "champion", 1.0)


def test_probabilities_are_the_shares():
    assigner = Assigner(compared(0.3, 0.1))
    drawn = {each.variant: each.probability for each in map(assigner.assign, map(str, range(1_000)))}
    assert drawn == {"control": 0.3, "new": 0.1, None: pytest.approx(0.6, abs=1e-15)}
    assert assigner.policy_shares == {"champion": pytest.approx(0.9, abs=1e-15), "challenger": 0.1}
    assert sum(assigner.policy_shares.values()) == pytest.approx(1.0, abs=1e-15)


@given(st.floats(0, 1), st.floats(0, 1))
def test_probabilities_sum_to_one_for_any_shares(a, b):
    assigner = Assigner(compared(a * (1 - b), b))
    assert sum(assigner.policy_shares.values()) == pytest.approx(1.0, abs=1e-9)


def test_the_unit_is_what_the_experiment_draws():
    by_user, by_session, by_request = (Assigner(compared(unit=unit)) for unit in ("user", "session", "request"))
    assert by_user.unit("acme", "ann", "s1", "r1") == by_user.unit("acme", "ann", "s2", "r2")
    assert by_user.unit("acme", "ann", "s1", "r1") != by_user.unit("zeta", "ann", "s1", "r1")
    assert by_session.unit("acme", "ann", "s1", "r1") != by_session.unit("acme", "ann", "s2", "r1")
    assert by_request.unit("acme", "ann", "s1", "r1") != by_request.unit("acme", "ann", "s1", "r2")
    assert by_user.unit("acme", None, "s1", "r1") == by_request.unit("acme", "ann", "s1", "r1")


def test_a_shadow_decides_for_its_share_of_requests_only():
    everything = Assigner(Experiment(id="e", shadow="shadow"))
    nothing = Assigner(Experiment(id="e", shadow="shadow", shadow_share=0.0))
    some = Assigner(Experiment(id="e", shadow="challenger", shadow_share=0.25))
    assert all(everything.shadow(f"r{i}") == "shadow" for i in range(100))
    assert not any(nothing.shadow(f"r{i}") for i in range(100))
    assert not any(Assigner(compared()).shadow(f"r{i}") for i in range(100))
    assert abs(sum(some.shadow(f"r{i}") == "challenger" for i in range(4_000)) - 1_000) < 5 * 27.4
    assert everything.assign("u").policy == "champion"


def test_tenants_are_drawn_by_their_own_experiment():
    acme = compared(id="acme", tenants=("acme",))
    assigners = Assigners(Experiments((acme, compared(id="old", status="stopped"))))
    assert assigners.of("acme", None, None, "r").experiment.id == "acme"
    assert assigners.of("zeta", None, None, "r") is None
    assert Assigners(Experiments((compared(id="all"),))).of("zeta", None, None, "r").experiment.id == "all"


def test_a_shadow_decision_is_kept_as_text_that_gives_the_same_numbers_back():
    context = shadow_context("small", 0.1 + 0.2, "v1")
    assert set(context) == {"shadow_model", "shadow_propensity", "shadow_policy_version"}
    assert float(context["shadow_propensity"]) == 0.1 + 0.2


@pytest.mark.parametrize(
    ("shares", "propensities", "said"),
    [
        ({}, {}, "no policy sum to 0"),
        ({"champion": 0.5}, {"champion": 1.0}, "sum to 0.5"),
        ({"champion": 1.5, "challenger": -0.5}, {"champion": 1.0}, "must be >= 0"),
        ({"champion": float("nan")}, {"champion": 1.0}, "sum to nan"),
        ({"champion": 0.5, "challenger": 0.5}, {"champion": 1.0}, "'challenger' decides 0.5 of the units"),
        ({"champion": 1.0}, {"champion": 1.2}, "must be in 0..1"),
    ],
)
def test_a_mixture_that_cannot_be_is_refused(shares, propensities, said):
    with pytest.raises(InputError, match=said):
        mixture_propensity(shares, propensities)


def test_a_policy_that_never_decides_needs_no_propensity():
    assert mixture_propensity({"champion": 1.0, "challenger": 0.0}, {"champion": 0.9}) == 0.9
