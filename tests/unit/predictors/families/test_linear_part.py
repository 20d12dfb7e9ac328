import itertools

import numpy as np
import pytest

from beast_ml.predictors.families.contract import FamilyFit, Problem
from beast_ml.predictors.families.distil import distil
from beast_ml.predictors.families.linear_part import LinearPart
from beast_ml.predictors.heads import CLIP, DenseHead
from beast_ml.predictors.network import NetworkConfig

N, D, M = 400, 12, 3


def world(noise=0.0):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((N, D)).astype(np.float32)
    weights = rng.standard_normal((D, M))
    return rows, weights, rows @ weights + 2.0 + noise * rng.standard_normal((N, M))


def test_what_is_linear_is_found():
    rows, _, values = world(noise=0.1)
    found = LinearPart.fit(rows.astype(float), values)
    assert np.abs(found.predict(rows.astype(float)) - values).mean() < 0.2


@pytest.mark.parametrize("hidden", [(), (6,), (6, 4), (6, 5, 4)])
def test_it_passes_through_the_layers_of_a_head(hidden):
    rng = np.random.default_rng(1)
    rows, _, values = world()
    linear = LinearPart.fit(rows.astype(float), values)
    widths = (D, *hidden, M)
    head = DenseHead(
        np.zeros(D, np.float32),
        np.ones(D, np.float32),
        tuple(rng.standard_normal((a, b)).astype(np.float32) for a, b in itertools.pairwise(widths)),
        tuple(rng.standard_normal(width).astype(np.float32) for width in widths[1:]),
    )
    gain = np.array([0.5, 1.0, 2.0])
    far = np.vstack([rows, 100.0 * rows[:5]])
    expected = linear.predict(np.clip(far, -CLIP, CLIP).astype(float)) + gain * head.forward(far)
    np.testing.assert_allclose(linear.plus(head, gain).forward(far), expected, rtol=1e-3, atol=1e-3)


def test_a_linear_teacher_loses_nothing_to_its_student():
    rows, weights, values = world()
    problem = Problem(rows, values, np.arange(N) % 5, "squared", np.zeros(N, dtype=np.intp))
    teacher = FamilyFit("ridge", values, lambda points: points @ weights + 2.0)
    student = distil(problem, teacher, np.random.default_rng(0), NetworkConfig(hidden=(8,), epochs=2, task_weight=0.0))
    assert student.r2 > 0.999
