import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.cache.verifier.labelled import LabelledPairs


def pairs_between(edges):
    return LabelledPairs(tuple(f"t{a}" for a, _ in edges), tuple(f"t{b}" for _, b in edges), np.zeros(len(edges), bool))


def test_pairs_that_share_texts_are_one_component():
    components = pairs_between([(0, 1), (2, 3), (1, 4), (5, 5)]).components
    assert components[0] == components[2]
    assert len(set(components.tolist())) == 3


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(61, 120)), min_size=1, max_size=60), st.integers(0, 9))
def test_no_text_is_in_two_parts_unless_nearly_all_are_connected(edges, seed):
    pairs = pairs_between(edges)
    parts = pairs.text_parts(3, np.random.default_rng(seed))
    assert len(parts) == len(pairs.texts)
    assert set(parts.tolist()) <= {0, 1, 2}
    sizes = np.unique(pairs.components, return_counts=True)[1]
    if sizes.max() <= 20:
        sides = parts[pairs.text_ids]
        assert (sides[:, 0] == sides[:, 1]).all()


def test_the_texts_of_a_giant_component_are_drawn_one_by_one():
    pairs = pairs_between([(0, i) for i in range(1, 200)])
    sides = pairs.text_parts(2, np.random.default_rng(0))[pairs.text_ids]
    assert 60 < (sides[:, 0] == sides[:, 1]).sum() < 140


def test_a_sample_takes_whole_components():
    pairs = pairs_between([(3 * i, 3 * i + 1) for i in range(50)] + [(3 * i, 3 * i + 2) for i in range(50)])
    sample = pairs.sample(40, np.random.default_rng(0))
    assert 38 <= len(sample) <= 40
    assert all(count == 2 for count in np.unique(sample.components, return_counts=True)[1])


def test_a_sample_of_a_giant_component_is_of_pairs():
    pairs = pairs_between([(0, i) for i in range(1, 200)])
    assert len(pairs.sample(50, np.random.default_rng(0))) == 50


@pytest.mark.parametrize("rows", [[2, 0], np.array([1])])
def test_a_selection_keeps_its_order(rows):
    pairs = pairs_between([(0, 1), (2, 3), (4, 5)])
    assert pairs.select(rows).text_a == tuple(f"t{2 * row}" for row in rows)
