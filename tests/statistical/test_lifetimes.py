"""The credible bounds of the hazards hold the truth about as often as they say, whatever the guesses were off by."""

import numpy as np

from beast_ml.cache.lifetimes import PRIOR_MEAN_LIFE_S, AnswerAge, fit_lifetimes

DAY_S = 86_400.0


def test_bounds_hold_the_true_hazard():
    rng = np.random.default_rng(0)
    kinds = list(PRIOR_MEAN_LIFE_S)[4:12]
    held = []
    for _ in range(25):
        lives = {kind: PRIOR_MEAN_LIFE_S[kind] * np.exp(rng.normal(-0.5, 0.8)) for kind in kinds}
        seen = []
        for kind, life_s in lives.items():
            ages = rng.exponential(life_s, int(rng.integers(5, 200)))
            seen += [AnswerAge(kind, age, bool(rng.random() < np.exp(-age / life_s))) for age in ages]
        fitted = fit_lifetimes(seen)
        held += [fitted.kinds[kind].low <= DAY_S / life_s <= fitted.kinds[kind].high for kind, life_s in lives.items()]
    assert 0.90 <= np.mean(held) <= 0.995
