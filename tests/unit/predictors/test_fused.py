import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.domain import Price
from beast_ml.predictors.calibration_choice import Calibration
from beast_ml.predictors.fused import FusedPredictors, fuse
from beast_ml.predictors.fused_heads import FusedHeads
from beast_ml.predictors.heads import DenseHead
from beast_ml.predictors.quality import QualityPredictor
from beast_ml.testing.worlds import make_world

D = 7


def head(rng, hidden, outputs, center, scale):
    widths = (len(center), *hidden, outputs)
    return DenseHead(
        center,
        scale,
        tuple(rng.standard_normal(shape, dtype=np.float32) for shape in pairwise(widths)),
        tuple(rng.standard_normal(width, dtype=np.float32) for width in widths[1:]),
    )


@st.composite
def families(draw):
    """Heads of any depths and widths that standardise in two ways, and some rows far and near."""
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    inputs = rng.standard_normal((2, 2, D), dtype=np.float32)
    hidden = st.lists(st.integers(1, 6), max_size=2)
    shapes = draw(st.lists(st.tuples(hidden, st.integers(1, 5), st.integers(0, 1)), min_size=1, max_size=4))
    heads = [head(rng, hidden, outputs, *inputs[i]) for hidden, outputs, i in shapes]
    return heads, 3.0 * rng.standard_normal((draw(st.integers(1, 5)), D), dtype=np.float32)


@settings(deadline=None)
@given(families())
def test_fused_heads_give_what_each_head_gives_in_the_order_given(family):
    heads, rows = family
    apart = np.hstack([head.forward(rows) - head.biases[-1] for head in heads])
    together = FusedHeads.of(heads).products(rows)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, apart, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def rows(fitted):
    return fitted.rows([*make_world(np.random.default_rng(5), 200, prefix="f").outcomes.prompts, "", "x" * 9000])


def without(pool, *targets):
    return dataclasses.replace(pool, **dict.fromkeys(targets))


POOLS = {
    "everything": lambda pool: pool,
    "token costs alone": lambda pool: without(pool, "latency", "reliability"),
    "costs in dollars": lambda pool: dataclasses.replace(pool, cost=pool.cost.output_tokens),
    "latency alone": lambda pool: without(pool, "cost"),
    "quality alone": lambda pool: without(pool, "cost", "latency", "reliability"),
    "free curves": lambda pool: with_quality(
        pool, calibrated=Calibration("isotonic", pool.quality.calibrated.platt, np.linspace([0.1] * 3, [0.9] * 3, 33).T)
    ),
    "a quality head that standardises on its own": lambda pool: with_quality(
        pool, head=dataclasses.replace(pool.quality.head, scale=pool.quality.head.scale * 2)
    ),
}


def with_quality(pool, **changes):
    return dataclasses.replace(pool, quality=dataclasses.replace(pool.quality, **changes))


@pytest.mark.parametrize("kind", POOLS)
def test_expectations_are_those_of_the_predictors_within_float32_rounding(fitted, rows, kind):
    pool = POOLS[kind](fitted.pool.predictors)
    fused = fuse(pool)
    assert isinstance(fused, FusedPredictors)  # else serving is slow, and nothing here is tested
    expected, got = vars(pool.predict(rows)), vars(fused.predict(rows))
    assert expected.keys() == got.keys()
    for name, values in expected.items():
        if values is None:
            assert got[name] is None
        else:
            np.testing.assert_allclose(got[name], values, rtol=2e-5, atol=1e-300)


def test_a_row_alone_is_what_it_is_in_a_batch_within_float32_rounding(fitted, rows):
    fused = fuse(fitted.pool.predictors)
    together = fused.predict(rows)
    for i in range(0, len(rows), 10):
        alone = fused.predict(rows[i : i + 1])
        for name, values in vars(together).items():
            if values is not None:
                np.testing.assert_allclose(vars(alone)[name][0], values[i], rtol=2e-5)


@pytest.mark.parametrize(
    "price", [Price(0.0, 7.0), Price(1.0, 2.0, usd_per_request=0.01), Price.of_machine(3.6, concurrency=2)]
)
def test_new_prices_are_folded_in(fitted, rows, price):
    predictors = fitted.pool.predictors
    cost = dataclasses.replace(predictors.cost, latency=predictors.latency).with_prices({"large": price})
    together = fuse(dataclasses.replace(predictors, cost=cost))
    assert isinstance(together, FusedPredictors)
    np.testing.assert_allclose(together.predict(rows).cost_usd, cost.predict(rows), rtol=2e-5)


def test_a_head_of_another_kind_is_served_as_it_is(fitted):
    class Kernel(DenseHead):
        """A head that this has never heard of."""

    pool = fitted.pool.predictors
    assert fuse(changed := with_quality(pool, head=Kernel(**vars(pool.quality.head)))) is changed


@pytest.mark.parametrize("columns", [1, 400])
def test_a_predictor_that_reads_more_than_its_head_is_served_as_it_is(fitted, columns):
    class Careful(QualityPredictor):
        """Goes by some features itself."""

        def predict(self, rows):
            return super().predict(rows) * (0.5 + 0.01 * np.tanh(rows[:, columns - 1 : columns] + np.ones((1, 1))))

    careful = Careful(**vars(fitted.pool.predictors.quality))
    changed = dataclasses.replace(fitted.pool.predictors, quality=careful)
    assert fuse(changed) is changed
