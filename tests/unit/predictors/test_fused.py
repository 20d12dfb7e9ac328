import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.predictors.fused import FusedPredictors, fuse
from beast_ml.predictors.fused_heads import FusedHeads
from beast_ml.predictors.heads import DenseHead
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
    """Heads of any depths and widths on the same features, and some rows far and near."""
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    center, scale = rng.standard_normal((2, D), dtype=np.float32)
    hidden = st.lists(st.integers(1, 6), max_size=2)
    shapes = draw(st.lists(st.tuples(hidden, st.integers(1, 5)), min_size=1, max_size=4))
    heads = [head(rng, hidden, outputs, center, scale) for hidden, outputs in shapes]
    return heads, 3.0 * rng.standard_normal((draw(st.integers(1, 5)), D), dtype=np.float32)


@settings(deadline=None)
@given(families())
def test_fused_heads_give_what_each_head_gives_in_the_order_given(family):
    heads, rows = family
    apart = np.hstack([head.forward(rows) - head.biases[-1] for head in heads])
    together = FusedHeads.of(heads).products(rows)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, apart, rtol=1e-4, atol=1e-4)


def test_heads_that_standardise_differently_are_not_fused():
    rng = np.random.default_rng(0)
    ones = np.ones(D, np.float32)
    one, other = head(rng, (3,), 2, ones, ones), head(rng, (3,), 2, ones, 2 * ones)
    assert FusedHeads.of([one, other]) is None
    assert FusedHeads.of([one, one]) is not None


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
    "no task means": lambda pool: with_quality(pool, mixture=(0.75, 0.0, 0.25)),
    "one task": lambda pool: with_quality(
        pool, tasks=("",), means=pool.quality.means[-2:], head=narrowed(pool.quality.head, len(pool.models))
    ),
    "odd calibration": lambda pool: with_quality(
        pool, platt=dataclasses.replace(pool.quality.platt, slope=np.array([0.2, 1.0, 900.0]))
    ),
}


def with_quality(pool, **changes):
    return dataclasses.replace(pool, quality=dataclasses.replace(pool.quality, **changes))


def narrowed(head, outputs):
    weights, biases = (
        (*head.weights[:-1], head.weights[-1][:, :outputs]),
        (*head.biases[:-1], head.biases[-1][:outputs]),
    )
    return DenseHead(head.center, head.scale, weights, biases)


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
            np.testing.assert_allclose(vars(alone)[name][0], values[i], rtol=2e-5)


def test_new_prices_are_folded_in(fitted, rows):
    from beast_ml.domain import Price

    cost = fitted.pool.predictors.cost.with_prices({"large": Price(0.0, 7.0)})
    pool = dataclasses.replace(fitted.pool.predictors, cost=cost)
    np.testing.assert_allclose(fuse(pool).predict(rows).cost_usd, cost.predict(rows), rtol=2e-5)


def test_what_cannot_be_put_together_is_served_as_it_is(fitted):
    pool = fitted.pool.predictors
    other = dataclasses.replace(pool.quality.head, scale=pool.quality.head.scale * 2)
    assert fuse(changed := with_quality(pool, head=other)) is changed

    class Kernel(DenseHead):
        """A head of another kind."""

    kernel = Kernel(**vars(pool.quality.head))
    assert fuse(changed := with_quality(pool, head=kernel)) is changed


def test_a_predictor_that_does_more_than_is_known_here_is_served_as_it_is(fitted):
    class Careful(type(fitted.pool.predictors.quality)):
        """Lowers what it predicts, which the fused form has never heard of."""

        def predict(self, rows):
            return super().predict(rows) - 0.01

    careful = Careful(**vars(fitted.pool.predictors.quality))
    changed = dataclasses.replace(fitted.pool.predictors, quality=careful)
    assert fuse(changed) is changed
