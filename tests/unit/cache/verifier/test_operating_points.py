from dataclasses import replace

import msgspec
import numpy as np
import pytest

from beast_ml.cache.verifier.operating_points import VerifierCurves, verifier_curves
from beast_ml.cache.verifier.risk import RiskTarget


@pytest.fixture(scope="module")
def many(trained_verifier):
    """Enough evidence for promises: 4,000 pairs, scored well but not perfectly."""
    rng = np.random.default_rng(0)
    right = rng.random(4000) < 0.5
    scores = np.clip(rng.normal(0.35 + 0.3 * right, 0.1), 0, 1)
    return replace(trained_verifier, scores=scores, right=right, texts=np.arange(8000).reshape(4000, 2))


def test_each_method_has_a_curve_and_points_within_epsilon(many):
    curves = verifier_curves(many, np.random.default_rng(1).random(4000))
    assert set(curves.hit_rates) == set(curves.points) == {"verifier", "cosine"}
    for hits in curves.hit_rates.values():
        assert len(hits) == len(curves.false_hit_rates)
        assert (np.diff(hits) >= 0).all()
    assert curves.hit_rates["verifier"][10] > curves.hit_rates["cosine"][10] + 0.2
    for point in curves.points["verifier"]:
        assert point.threshold == many.threshold(RiskTarget(point.epsilon)).value
        assert point.false_hit_rate < point.epsilon
        assert point.hit_rate == (many.scores >= point.threshold).mean()


def test_they_survive_json_and_their_headline_names_figure_and_epsilon(many):
    curves = verifier_curves(many, np.zeros(4000))
    again = msgspec.convert(msgspec.json.decode(msgspec.json.encode(curves)), VerifierCurves)
    assert again == curves
    assert curves.headline["verifier/threshold_at_0.01"] == many.threshold(RiskTarget(0.01)).value
    assert curves.headline["verifier/hit_rate_at_0.005"] < curves.headline["verifier/hit_rate_at_0.02"]
    assert len(curves.headline) == 10


def test_where_nothing_may_hit_there_is_no_threshold(trained_verifier):
    curves = verifier_curves(trained_verifier, np.zeros(400))
    [point, *_] = curves.points["cosine"]
    assert (point.threshold, point.hit_rate, point.false_hit_rate) == (None, 0, 0)
    few = verifier_curves(replace(trained_verifier, right=np.zeros(400, bool)), np.zeros(400))
    assert "verifier/threshold_at_0.005" not in few.headline
    assert few.headline["verifier/hit_rate_at_0.005"] == 0
