import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from beast_ml.predictors.heads import CLIP, DenseHead, sigmoid, softmax

FINITE = st.floats(-1e6, 1e6, width=32)


@pytest.fixture(scope="module")
def head():
    rng = np.random.default_rng(0)
    shapes = [(5, 4), (4, 3)]
    weights = tuple(rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    biases = tuple(rng.standard_normal(shape[1]).astype(np.float32) for shape in shapes)
    return DenseHead(np.ones(5, np.float32), np.full(5, 2.0, np.float32), weights, biases)


def test_forward_is_standardise_clip_and_layers_with_relu(head):
    row = np.array([[1.0, 1.5, -0.5, 100.0, -100.0]], np.float32)
    standard = np.array([[0.0, 1.0, -3.0, CLIP, -CLIP]])
    hidden = np.maximum(standard @ head.weights[0] + head.biases[0], 0)
    np.testing.assert_allclose(head.forward(row), hidden @ head.weights[1] + head.biases[1], rtol=1e-5)


@given(arrays(np.float32, (3, 5), elements=FINITE))
def test_no_input_extrapolates_beyond_the_clip_and_the_input_is_left_alone(head, rows):
    before = rows.copy()
    bound = np.abs(head.weights[0]).sum(axis=0) * CLIP + np.abs(head.biases[0])
    bound = bound @ np.abs(head.weights[1]) + np.abs(head.biases[1])
    assert (np.abs(head.forward(rows)) <= bound * 1.001).all()
    np.testing.assert_array_equal(rows, before)


def test_arrays_make_the_same_head(head):
    again = DenseHead.from_arrays(head.arrays())
    rows = np.random.default_rng(1).standard_normal((4, 5)).astype(np.float32)
    assert again.forward(rows).tobytes() == head.forward(rows).tobytes()


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_sigmoid_is_a_probability_and_symmetric(x):
    p, q = sigmoid(np.array([x, -x]))
    assert 0 <= p <= 1
    assert p + q == pytest.approx(1)


@given(arrays(np.float32, (2, 4), elements=FINITE), FINITE)
def test_softmax_sums_to_one_and_ignores_a_shift(logits, shift):
    p = softmax(logits)
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=-1), 1)
    small = logits / 1e5
    np.testing.assert_allclose(softmax(small), softmax(small.astype(float) + shift / 1e5), atol=1e-6)
