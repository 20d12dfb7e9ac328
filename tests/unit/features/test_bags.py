import numpy as np

from beast_ml.features.bags import TokenBags

TEXTS = ["the cat and the dog", "", "2 + 2 = 4, or is it?", "the"]


def test_bags_hold_what_the_static_encoder_sums(distilled):
    bags = TokenBags.of(distilled, TEXTS)
    table = distilled.table.astype(np.float32)
    summed = np.stack(
        [
            bags.counts[start:stop] @ table[bags.tokens[start:stop]]
            for start, stop in zip(bags.starts[:-1], bags.starts[1:], strict=True)
        ]
    )
    lengths = np.linalg.norm(summed, axis=1, keepdims=True)
    np.testing.assert_allclose(summed / np.maximum(lengths, 1e-12), distilled.encode(TEXTS), atol=1e-5)


def test_a_token_is_once_in_a_bag_with_its_count(distilled):
    bags = TokenBags.of(distilled, ["the the the", "the"])
    assert bags.counts.tolist() == [3.0, 1.0]
    assert bags.tokens[0] == bags.tokens[1]
    assert len(bags) == 2


def test_selected_bags_are_those_of_the_selected_texts(distilled):
    order = np.array([2, 1, 1, 0])
    selected, direct = TokenBags.of(distilled, TEXTS).select(order), TokenBags.of(distilled, [TEXTS[i] for i in order])
    for name in ("tokens", "counts", "starts"):
        np.testing.assert_array_equal(getattr(selected, name), getattr(direct, name))
