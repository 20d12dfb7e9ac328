import numpy as np
import pytest

from beast_ml.benchmarks.new_models import CurvePoint, NewModelCurve, draw_new_model_curve, new_model_curve
from beast_ml.policy.learner import RouterLearner
from beast_ml.testing.router_fixtures import QUICK
from beast_ml.testing.worlds import make_world


@pytest.mark.slow
def test_a_held_out_model_is_measured_in_every_way(tmp_path):
    outcomes = make_world(np.random.default_rng(4), 200).outcomes
    learner = RouterLearner("hashing", families=QUICK)
    steps = []
    curve = new_model_curve(
        outcomes, learner, models=["medium"], seeds=(0,), n_probes=(10, 100), progress=lambda *step: steps.append(step)
    )
    assert steps == [(1, 1)]
    ways = {(row["how"], row["n_probes"]): row for row in curve.summary()}
    assert set(ways) == {
        ("without", 0),
        ("prior", 0),
        *((how, n) for how in ("chosen", "random") for n in (10, 100)),
        ("retrained", 0),
    }
    assert ways["without", 0]["brier"] is None
    assert ways["chosen", 100]["brier"]["mean"] < 0.25
    assert ways["prior", 0]["auc"]["mean"] > 0.6
    assert ways["without", 0]["share_gained"]["mean"] == 0.0
    draw_new_model_curve(curve, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1000


def test_a_summary_is_the_mean_over_models_paired_with_not_adding():
    points = tuple(
        CurvePoint(model, seed, how, 0, None if how == "without" else 0.2, None, base + gain)
        for model, base in (("a", 0.1), ("b", 0.5))
        for seed in (0, 1)
        for how, gain in (("without", 0.0), ("prior", 0.05))
    )
    prior = next(row for row in NewModelCurve(points, 100, ("a", "b")).summary() if row["how"] == "prior")
    assert prior["share_of_gap"]["mean"] == pytest.approx(0.35)
    assert prior["share_gained"] == pytest.approx({"mean": 0.05, "low": 0.05, "high": 0.05})
    assert prior["auc"] is None
