from functools import partial

import numpy as np
import pytest

from beast_ml.benchmarks import new_models_part
from beast_ml.benchmarks.part_context import PartContext
from beast_ml.benchmarks.parts import OWN_PARTS
from beast_ml.policy.learner import RouterLearner
from beast_ml.testing.router_fixtures import TINY
from beast_ml.testing.worlds import make_world


@pytest.fixture
def context(tmp_path):
    return PartContext(None, "hashing", 1, True, False, tmp_path / "new_models", lambda _: None)


@pytest.mark.slow
def test_the_curve_of_a_set_becomes_figures_and_a_picture(context, monkeypatch):
    world = make_world(np.random.default_rng(0), 200).outcomes
    monkeypatch.setattr(new_models_part, "_SETS", ("quickstart",))
    monkeypatch.setattr(new_models_part, "load_set", lambda *_: world)
    monkeypatch.setattr(new_models_part, "RouterLearner", lambda encoder, **_: RouterLearner(encoder, families=TINY))
    result = OWN_PARTS["new_models"](context)
    assert {figure.name for figure in result.figures} == {"share_of_gap", "share_gained", "brier", "auc"}
    assert {figure.router for figure in result.figures} == {"without", "prior", "random", "chosen", "retrained"}
    assert (context.folder / "quickstart.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(new_models_part, "new_model_curve", partial(pytest.fail, "measured again"))
    assert OWN_PARTS["new_models"](context).figures == result.figures


def test_a_set_that_is_not_there_is_named(context, monkeypatch):
    monkeypatch.setattr(new_models_part, "load_set", lambda *_: None)
    result = new_models_part.measure_new_models(context)
    assert result.figures == ()
    assert "routerbench3 is not there: no model of it is held out" in result.notes
