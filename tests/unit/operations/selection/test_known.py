"""A router's choices against outcomes that are known of every model."""

from dataclasses import replace

import numpy as np
import pytest

from beast_ml.bundle.read import read_bundle
from beast_ml.errors import InputError, NotEnoughDataError, UnknownModelError
from beast_ml.operations.learning_loop.replay import replayed
from beast_ml.operations.selection.known import known_selection
from beast_ml.operations.selection.plot import draw_selection
from beast_ml.testing.outcome_sets import random_outcomes


@pytest.fixture(scope="module")
def outcomes():
    return random_outcomes(np.random.default_rng(7), 150, 2, missing=0.0, models=("large", "small"))


@pytest.fixture
def bundle(small_bundle):
    """Return the bundle of a router for the same two models."""
    return read_bundle(small_bundle.folder)


def test_what_is_lost_is_what_the_chosen_models_lack(bundle, outcomes, tmp_path):
    missing = outcomes.quality.copy()
    missing[:5, 0] = np.nan
    found = known_selection(replace(outcomes, quality=missing), bundle, epsilon=0.1)
    assert found.n_requests == 145
    assert "5 queries lack" in found.notes[0]
    chosen = [outcomes.models.index(name) for name in replayed(bundle, outcomes.prompts[5:])]
    lost = outcomes.quality[5:].max(axis=1) - outcomes.quality[np.arange(5, 150), chosen]
    total = found.accuracy[0]
    assert total.regret == pytest.approx(lost.mean())
    assert total.accuracy == pytest.approx((lost <= 0.1 + 1e-12).mean())
    assert total.accuracy_low <= total.accuracy <= total.accuracy_high
    assert "of the model that is best" in found.sentence()
    assert "prediction" not in found.sentence()
    assert found.accuracy[0].field == "all"
    draw_selection(tmp_path / "s.png", found)


def test_what_cannot_be_judged_is_refused(bundle, outcomes):
    with pytest.raises(InputError, match="epsilon"):
        known_selection(outcomes, bundle, epsilon=2.0)
    with pytest.raises(UnknownModelError):
        known_selection(outcomes.pool(outcomes.models[:-1]), bundle)
    with pytest.raises(NotEnoughDataError, match="at least 20"):
        known_selection(outcomes.rows(np.arange(10)), bundle)
