from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from beast_ml.benchmarks.cache.entries_part import measure_entries
from beast_ml.benchmarks.cache.pair_sets import adversarial_kinds, adversarial_pairs, load_pairs, prepare
from beast_ml.benchmarks.cache.pairs_part import measure_adversarial, measure_mock, measure_pair_set
from beast_ml.cache.verifier.labelled import LabelledPairs
from beast_ml.errors import InputError
from beast_ml.features.hashing import HashingEncoder

CITIES = ("Paris", "Rome", "Oslo", "Cairo", "Lima", "Quito", "Hanoi", "Accra", "Delhi", "Kyoto")


def city_pairs(n=400, seed=0):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(10, size=n), rng.integers(10, size=n)
    b = np.where(rng.random(n) < 0.4, a, b)
    return LabelledPairs(
        tuple(f"What is best in {CITIES[city]}? {i}" for i, city in enumerate(a)),
        tuple(f"Best of {CITIES[city]}, {i}" for i, city in enumerate(b)),
        a == b,
    )


@pytest.fixture(scope="module")
def prepared(distilled, tmp_path_factory):
    return prepare("cities", city_pairs(), HashingEncoder(64), distilled, tmp_path_factory.mktemp("p"), n_changed=40)


def test_the_adversarial_set_measures_both_sides():
    pairs, kinds = adversarial_pairs(), adversarial_kinds()
    assert len(pairs) == len(kinds) >= 300
    assert 0.3 < pairs.same.mean() < 0.7
    assert len(set(zip(pairs.text_a, pairs.text_b, strict=True))) == len(pairs)
    counts = Counter(zip(kinds, pairs.same.tolist(), strict=True))
    for kind in ("negation", "antonym", "number", "unit", "name", "order", "date", "code", "detail"):
        assert counts[kind, False] >= 15
        assert counts[kind, True] >= 5


def test_a_set_that_is_not_there_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match="beast data pull cache_qqp"):
        load_pairs(tmp_path, "qqp", None)


def test_what_was_made_ready_is_found_again(distilled, tmp_path):
    pairs = city_pairs(30)
    first = prepare("c", pairs, HashingEncoder(64), distilled, tmp_path, n_changed=5)
    written = [path.stat().st_mtime_ns for path in tmp_path.iterdir()]
    again = prepare("c", pairs, HashingEncoder(64), distilled, tmp_path, n_changed=5)
    np.testing.assert_array_equal(first.rows, again.rows)
    assert [path.stat().st_mtime_ns for path in tmp_path.iterdir()] == written


def test_figures_of_a_set_of_pairs(prepared):
    found = measure_pair_set(prepared, 2)
    assert found["splits"] == 2
    at = found["hits_at_equal_rates"]["0.05"]
    assert at["gain"]["low"] <= at["gain"]["high"]
    assert at["verifier"]["value"] >= at["cosine"]["value"]
    kept = found["promise"]["verifier"]["0.02"]
    assert kept["kept"] <= kept["splits"] == 2


def test_figures_of_the_adversarial_set(prepared):
    # Stands in for the real one, whose words this small world does not know: only the bookkeeping is at issue.
    found = measure_adversarial([prepared], prepare_adversarial(prepared), 2)
    assert found["pairs"] == len(adversarial_pairs())
    assert set(found["auc_by_kind"]) >= {"negation", "order"}


def prepare_adversarial(like):
    pairs = adversarial_pairs()
    rows = np.resize(like.rows, (len(pairs), like.rows.shape[1]))
    return replace(like, name="adversarial", pairs=pairs, rows=rows, cosines=np.resize(like.cosines, len(pairs)))


def test_figures_of_the_mock_set(distilled, tmp_path):
    pairs = city_pairs(60)
    same = LabelledPairs(
        pairs.text_a, tuple(text.replace("What is", "Which is") for text in pairs.text_a), np.ones(60, bool)
    )
    found = measure_mock(same, HashingEncoder(256), distilled, tmp_path, 2, peers=False)
    assert found["lookups"] == 60
    assert found["right_is_among_nearest"] > 0.9
    assert found["right_with_at_most_wrong"]["verifier"]["25"] > 30


def test_figures_of_few_entries_that_are_asked_for_again_and_again(distilled, tmp_path):
    rng = np.random.default_rng(0)
    city = rng.integers(10, size=500)
    texts = [f"Best {'of' if rng.random() < 0.5 else 'in'} {CITIES[c]} number {i % 7}" for i, c in enumerate(city)]
    found = measure_entries(texts, city.astype(np.int64), HashingEncoder(64), distilled, tmp_path, 2, n_entries=20)
    assert found["requests"] == 480
    at = found["hits_at_equal_entries"]["0.05"]
    assert at["verifier"]["value"] > 0.3
    assert 0 <= at["vcache"]["value"] <= 1
    assert set(found["vcache_at_its_delta"]) == {"0.005", "0.01", "0.02"}
