import numpy as np
import pytest

from beast_ml.errors import InputError
from beast_ml.experiments.design import design_for_effect, design_for_units, sequential_size


def test_one_look_takes_the_textbooks_size():
    assert design_for_effect(0.5, 1.0, power=0.9).n_fixed == pytest.approx(2 * 84.06, abs=1)
    unequal = design_for_effect(0.1, 1.0, (0.9, 0.1))
    assert unequal.n_fixed == pytest.approx(7.849 * 100 * (1 / 0.9 + 1 / 0.1), rel=1e-3)


def test_units_and_effect_are_two_sides_of_one_design():
    planned = design_for_effect(0.07, 0.4, (0.5, 0.25, 0.25))
    back = design_for_units(planned.n_fixed, 0.4, (0.5, 0.25, 0.25))
    assert back.effect == pytest.approx(0.07, rel=1e-3)
    assert planned.alpha == 0.025


def test_looking_all_the_time_costs_at_most_and_saves_on_large_effects():
    size = sequential_size(0.05, 0.8)
    assert 1.2 < size.most < 2.0
    assert size.mean_at_twice < 0.5 < size.mean_at_effect < size.most
    planned = design_for_effect(0.1, 1.0, units_per_day=100.0)
    assert planned.n_mean_at_twice < planned.n_mean < planned.n_most
    assert planned.days(planned.n_most) == planned.n_most / 100


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"effect": 0.0}, "`effect`"),
        ({"effect": np.nan}, "`effect`"),
        ({"standard_deviation": 0.0}, "`standard_deviation`"),
        ({"shares": (1.0,)}, "`shares`"),
        ({"shares": (0.9, 0.2)}, "`shares`"),
        ({"alpha": 0.0}, "`alpha`"),
        ({"power": 0.01}, "`power`"),
        ({"units_per_day": 0.0}, "`units_per_day`"),
    ],
)
def test_a_design_that_cannot_be_is_refused(changed, words):
    with pytest.raises(InputError, match=words):
        design_for_effect(**({"effect": 0.1, "standard_deviation": 1.0} | changed))
    with pytest.raises(InputError, match="`n_units`"):
        design_for_units(1, 1.0)
