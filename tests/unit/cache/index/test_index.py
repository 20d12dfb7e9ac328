import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.cache.index.index import IndexedText, PartitionedIndex
from beast_ml.cache.index.partition import PartitionContent
from beast_ml.cache.index.snapshot import read_index, write_index
from beast_ml.errors import DataError

DIM, STATIC = 16, 8
ENCODERS = ("static hash", "sentence hash")


def unit(rng, dim):
    vector = rng.normal(size=dim).astype(np.float32)
    return vector / np.linalg.norm(vector)


def entry(rng, entry_id, partition, text=b"t" * 16):
    return IndexedText(entry_id, partition, text, unit(rng, STATIC), unit(rng, DIM))


def filled(rng, n, partitions=(b"a", b"b"), **options):
    index = PartitionedIndex(STATIC, DIM, **options)
    entries = [entry(rng, f"e{each}", partitions[each % len(partitions)]) for each in range(n)]
    index.put(entries)
    return index, entries


def by_hand(entries, partition, vector, k):
    here = [each for each in entries if each.partition == partition]
    return [each.entry_id for each in sorted(here, key=lambda each: -float(each.vector @ vector))][:k]


def test_the_nearest_of_the_partition_are_found_nearest_first(rng):
    index, entries = filled(rng, 200)
    vector = unit(rng, DIM)
    found = index.nearest(b"a", vector, 5)
    assert [each.entry_id for each in found] == by_hand(entries, b"a", vector, 5)
    assert found[0].similarity == pytest.approx(
        float(next(e.vector for e in entries if e.entry_id == found[0].entry_id) @ vector), abs=1e-3
    )
    assert index.static_top(b"a", entries[0].static) == pytest.approx(1, abs=1e-3)
    assert index.static_top(b"none", entries[0].static) == -np.inf
    assert index.nearest(b"none", vector, 5) == []


def test_no_similarity_is_beyond_1(rng):
    vector = np.full(DIM, np.nextafter(np.float32(DIM**-0.5), np.float32(1)), dtype=np.float32) * np.float32(1.00001)
    assert float(vector @ vector) > 1.0
    index = PartitionedIndex(STATIC, DIM)
    index.put([IndexedText("e", b"a", b"t" * 16, unit(rng, STATIC), vector)])
    assert index.nearest(b"a", vector, 1)[0].similarity == 1.0


def test_of_two_tenants_no_candidate_crosses_in_ten_thousand_lookups(rng):
    index, _ = filled(rng, 600)
    mine = {b"a": {f"e{each}" for each in range(0, 600, 2)}, b"b": {f"e{each}" for each in range(1, 600, 2)}}
    for lookup in range(10_000):
        partition = (b"a", b"b")[rng.integers(2)]
        found = {each.entry_id for each in index.nearest(partition, unit(rng, DIM), 3)}
        assert len(found) == 3
        assert found <= mine[partition]
        if lookup % 10 == 0:  # entries come, go, and move between the tenants all the while
            moved = f"e{rng.integers(600)}"
            index.put([entry(rng, moved, partition)])
            mine[b"a"].discard(moved)
            mine[b"b"].discard(moved)
            mine[partition].add(moved)


steps = st.lists(
    st.tuples(st.sampled_from(["put", "remove", "drop"]), st.integers(0, 12), st.sampled_from([b"a", b"b"])),
    max_size=60,
)


@settings(deadline=None, max_examples=50)
@given(steps, st.integers(0, 2**32 - 1))
def test_it_behaves_as_a_dictionary_of_vectors(steps, seed):
    rng = np.random.default_rng(seed)
    index, known = PartitionedIndex(STATIC, DIM), {}
    for what, number, partition in steps:
        entry_id = f"e{number}"
        if what == "put":
            known[entry_id] = entry(rng, entry_id, partition)
            index.put([known[entry_id]])
        elif what == "remove":
            assert index.remove([entry_id]) == (known.pop(entry_id, None) is not None)
        else:
            gone = [each for each, value in known.items() if value.partition == partition]
            assert index.remove_partition(partition) == len(gone)
            for each in gone:
                del known[each]
    assert len(index) == len(known)
    for partition in (b"a", b"b"):
        vector = unit(rng, DIM)
        found = [each.entry_id for each in index.nearest(partition, vector, 20)]
        expected = [each for each in known.values() if each.partition == partition]
        assert sorted(found) == sorted(each.entry_id for each in expected)
        ranks = [float(known[each].vector @ vector) for each in found]
        assert ranks == sorted(ranks, reverse=True) or np.allclose(ranks, sorted(ranks, reverse=True), atol=1e-2)


def test_a_rebuild_forgets_what_nobody_named_and_keeps_what_came_meanwhile(rng):
    index, entries = filled(rng, 10)
    index.begin_rebuild()
    assert index.holds("e0", b"a", b"t" * 16)
    assert not index.holds("e2", b"a", b"another text's!!")
    assert not index.holds("e4", b"b", b"t" * 16)
    index.put([entries[1], entry(rng, "new", b"b")])
    assert index.end_rebuild() == 8
    assert {each.entry_id for each in index.nearest(b"b", unit(rng, DIM), 9)} == {"e1", "new"}
    assert {each.entry_id for each in index.nearest(b"a", unit(rng, DIM), 9)} == {"e0"}
    assert index.end_rebuild() == 0


def clustered(rng, n):
    centres = np.random.default_rng(1).normal(size=(40, DIM))
    vectors = centres[rng.integers(40, size=n)] + 0.4 * rng.normal(size=(n, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_a_large_partition_is_searched_by_lists_that_find_what_looking_at_all_finds(rng):
    vectors = clustered(rng, 3000)
    static = unit(rng, STATIC)
    index = PartitionedIndex(STATIC, DIM, flat_up_to=1000)
    index.put(IndexedText(f"e{n}", b"a", b"t" * 16, static, vector) for n, vector in enumerate(vectors))
    index.put([entry(rng, f"small{n}", b"b") for n in range(5)])
    assert index.static_top(b"a", static) == pytest.approx(1, abs=1e-3)
    assert index.train_lists(rng) == 1
    assert index.train_lists(rng) == 0
    assert index.static_top(b"a", static) is None
    queries = clustered(rng, 300)
    exact = (queries @ vectors.T).argmax(axis=1)
    right = [index.nearest(b"a", q, 1)[0].entry_id == f"e{at}" for q, at in zip(queries, exact, strict=True)]
    assert np.mean(right) > 0.95
    # what changes after training is found as it is now
    index.remove(["e7"])
    assert index.nearest(b"a", vectors[7], 1)[0].entry_id != "e7"
    index.put([IndexedText("e8", b"a", b"t" * 16, static, vectors[7]), entry(rng, "e9", b"b")])
    assert index.nearest(b"a", vectors[7], 1)[0].entry_id == "e8"
    assert "e9" not in {each.entry_id for each in index.nearest(b"a", vectors[9], 50)}


def test_entries_that_come_while_lists_are_trained_are_in_them(rng, monkeypatch):
    from beast_ml.cache.index import index as module

    vectors = clustered(rng, 500)
    index = PartitionedIndex(STATIC, DIM, flat_up_to=100)
    index.put(IndexedText(f"e{n}", b"a", b"t" * 16, unit(rng, STATIC), v) for n, v in enumerate(vectors))
    train = module.InvertedLists.train

    def slowly(*arguments):
        lists = train(*arguments)
        index.put([IndexedText("late", b"a", b"t" * 16, unit(rng, STATIC), vectors[3])])
        index.remove(["e3"])
        return lists

    monkeypatch.setattr(module.InvertedLists, "train", slowly)
    index.train_lists(rng)
    assert index.nearest(b"a", vectors[3], 1)[0].entry_id == "late"


def test_what_is_written_is_read_again_to_the_bit(rng, tmp_path):
    index, _ = filled(rng, 300, flat_up_to=120)
    index.train_lists(rng)
    index.remove(["e5"])
    index.put([entry(rng, "other", b"c", text=b"0123456789abcdef")])
    write_index(index, ENCODERS, tmp_path / "index")
    again = read_index(tmp_path / "index", ENCODERS, STATIC, DIM)
    assert len(again) == 300
    assert again.holds("other", b"c", b"0123456789abcdef")
    one = again.nearest(b"c", unit(rng, DIM), 1)
    assert [each.entry_id for each in one] == ["other"]
    before, after = index.contents(), again.contents()
    assert before.keys() == after.keys()
    for key, content in before.items():
        assert content.ids == after[key].ids
        assert (content.vectors == after[key].vectors).all()
    assert list(tmp_path.iterdir()) == [tmp_path / "index"]


@pytest.mark.parametrize("at", [3, 60, -5])
def test_a_snapshot_that_was_damaged_is_refused(at, rng, tmp_path):
    path = tmp_path / "index"
    write_index(filled(rng, 20)[0], ENCODERS, path)
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DataError, match="not as it was written"):
        read_index(path, ENCODERS, STATIC, DIM)


def test_a_snapshot_of_another_encoder_is_refused(rng, tmp_path):
    write_index(filled(rng, 20)[0], ENCODERS, tmp_path / "index")
    with pytest.raises(DataError, match="another encoder"):
        read_index(tmp_path / "index", ("static hash", "new hash"), STATIC, DIM)
    with pytest.raises(DataError, match="no index"):
        read_index(tmp_path / "none", ENCODERS, STATIC, DIM)


def test_an_entry_that_was_written_in_two_partitions_is_in_none(rng):
    index, _ = filled(rng, 4)
    contents = index.contents()
    a, b = contents[b"a"], contents[b"b"]
    doubled = {b"a": a, b"b": PartitionContent((a.ids[0], b.ids[1]), b.texts, b.static, b.vectors)}
    again = PartitionedIndex.of(doubled, STATIC, DIM)
    assert len(again) == 2
    for partition, expected in ((b"a", a.ids[1]), (b"b", b.ids[1])):
        assert [each.entry_id for each in again.nearest(partition, unit(rng, DIM), 9)] == [expected]


def test_a_partition_that_was_empty_when_it_was_written_takes_entries_in(rng):
    nothing = PartitionContent(
        (), np.zeros((0, 16), np.uint8), np.zeros((0, STATIC), np.float16), np.zeros((0, DIM), np.float16)
    )
    index = PartitionedIndex.of({b"a": nothing}, STATIC, DIM)
    index.put([entry(rng, "e1", b"a"), entry(rng, "e2", b"a")])
    assert {each.entry_id for each in index.nearest(b"a", unit(rng, DIM), 9)} == {"e1", "e2"}
