"""Parts of fits: found where they would come out the same, fitted where not."""

import numpy as np

from beast_ml.predictors.fit_memo import FitMemo


def draws(memo, rng, key="part"):
    return memo.of(key, lambda: float(rng.random()), rng), float(rng.random())


def test_a_part_that_draws_is_found_from_the_same_state_alone_and_moves_the_generator_as_fitting_does():
    memo, alone = FitMemo(), draws(FitMemo(), np.random.default_rng(1))
    assert draws(memo, np.random.default_rng(1)) == alone
    assert draws(memo, np.random.default_rng(1)) == alone
    assert draws(memo, np.random.default_rng(2)) == draws(FitMemo(), np.random.default_rng(2)) != alone


def test_a_part_that_draws_nothing_is_fitted_once_and_leaves_the_generator():
    memo, fitted = FitMemo(), []
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        memo.of("part", lambda: fitted.append(1), rng)
        assert rng.random() == np.random.default_rng(seed).random()
    memo.of("other part", lambda: fitted.append(2), rng)
    assert fitted == [1, 2]
