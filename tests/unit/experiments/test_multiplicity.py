import numpy as np
import pytest

from beast_ml.experiments.multiplicity import find


def test_holm_steps_down_from_the_smallest():
    found = find(np.array([[0.02], [0.001], [0.03], [0.9]]), 0.05, "holm")
    np.testing.assert_allclose(found.adjusted[:, 0], [0.06, 0.004, 0.06, 0.9])
    assert found.found_at.tolist() == [-1, 0, -1, -1]
    assert found.interval_alpha == pytest.approx(0.0125)


def test_what_was_found_stays_found():
    p_values = np.array([[0.5, 0.001, 0.7, 0.9]])
    for method in ("holm", "fdr", "none"):
        found = find(p_values, 0.05, method)
        assert found.found_at.tolist() == [1]
        assert found.adjusted[0, -1] == pytest.approx(0.001)


def test_fdr_uses_the_present_evidence_of_what_was_not_found():
    # Both would do together, but never at the same look.
    apart = np.array([[0.04, 0.5], [0.5, 0.04]])
    assert find(apart, 0.05, "fdr").found_at.tolist() == [-1, -1]
    together = np.array([[0.04, 0.5], [0.04, 0.5]])
    assert find(together, 0.05, "fdr").found_at.tolist() == [0, 0]


def test_what_is_found_first_helps_the_next_ones():
    p_values = np.array([[0.02, 0.9], [0.5, 0.05]])
    found = find(p_values, 0.05, "fdr")
    assert found.found_at.tolist() == [0, 1]
    assert found.interval_alpha == pytest.approx(0.05)
    assert find(p_values[1:], 0.04, "fdr").found_at.tolist() == [-1]


def test_fdr_finds_no_less_than_holm():
    rng = np.random.default_rng(0)
    for _ in range(50):
        # One look, so that both see the same evidence.
        p_values = rng.uniform(size=(8, 1)) ** 3
        holm, fdr = (find(p_values, 0.1, method).found_at >= 0 for method in ("holm", "fdr"))
        assert (fdr | ~holm).all()
