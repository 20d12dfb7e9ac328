import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.errors import EncoderError
from beast_ml.features.encoder import StaticEncoder, clip_text
from beast_ml.features.hashing import HashingEncoder

ANY_TEXT = st.text(st.characters() | st.characters(categories=["Cs"]), max_size=5000)
TOKENIZER = {
    "version": "1.0",
    "truncation": {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0},
    "pre_tokenizer": {"type": "Whitespace"},
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "one": 1, "two": 2}, "unk_token": "[UNK]"},
}


@pytest.fixture
def tiny():
    """Three tokens in two dimensions."""
    return StaticEncoder(np.array([[0, 0], [3, 0], [0, 4]], np.float16), msgspec.json.encode(TOKENIZER))


@given(ANY_TEXT, st.integers(1, 50))
def test_a_clipped_text_is_short_and_can_be_encoded(text, chars):
    clipped = clip_text(text, chars)
    assert len(clipped) <= 2 * chars + 1
    clipped.encode("utf-8")
    if len(text) > 2 * chars and text.isascii():
        assert clipped == f"{text[:chars]}\n{text[-chars:]}"


def test_a_clipped_text_keeps_what_fits():
    assert clip_text("größe ok") == "größe ok"
    assert clip_text("a\ud800b") == "a?b"


def test_a_vector_is_the_scaled_sum_of_its_tokens_rows(tiny):
    vectors = tiny.encode(["one two", "two", "unknown", ""])
    np.testing.assert_allclose(vectors, [[0.6, 0.8], [0, 1], [0, 0], [0, 0]], atol=1e-6)
    assert vectors.dtype == np.float32


def test_truncation_and_padding_of_the_tokenizer_file_are_off(tiny):
    np.testing.assert_array_equal(tiny.encode(["one two"]), tiny.encode(["one two", "one one one two two two"])[:1])


@settings(deadline=None)
@given(st.lists(ANY_TEXT, min_size=1, max_size=4))
def test_hashed_vectors_have_unit_length_or_are_zero(texts):
    lengths = np.linalg.norm(HashingEncoder(64).encode(texts), axis=1)
    assert all(length == pytest.approx(1, abs=1e-5) or length == 0 for length in lengths)


def test_hashing_depends_on_words_and_their_order_not_on_the_process():
    encoder = HashingEncoder(32)
    assert encoder.hash != HashingEncoder(64).hash
    first, second, repeated = encoder.encode(["dog bites man", "man bites dog", "DOG bites, man!"])
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, repeated)
    assert np.flatnonzero(encoder.encode(["hello"])[0]).tolist() == [6]  # crc32, the same everywhere


def test_save_and_load_give_the_same_encoder(tiny, tmp_path):
    tiny.save(tmp_path / "encoder")
    again = StaticEncoder.load(tmp_path / "encoder")
    assert again.hash == tiny.hash
    assert again.dim == tiny.dim == 2
    assert again.encode(["one two"]).tobytes() == tiny.encode(["one two"]).tobytes()


def test_the_hash_is_of_table_and_tokenizer(tiny):
    table = tiny.table.copy()
    table[1, 0] = 2
    other_words = tiny.tokenizer_json.replace(b"one", b"uno")
    assert (
        len({tiny.hash, StaticEncoder(table, tiny.tokenizer_json).hash, StaticEncoder(tiny.table, other_words).hash})
        == 3
    )


@pytest.mark.parametrize("name", ["table.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["truncate", "empty", "remove", "garbage"])
def test_a_damaged_file_is_an_encoder_error(tiny, tmp_path, name, damage):
    tiny.save(tmp_path)
    victim = tmp_path / name
    content = victim.read_bytes()
    if damage == "remove":
        victim.unlink()
    else:
        victim.write_bytes({"truncate": content[:-3], "empty": b"", "garbage": b"\xff" * 64}[damage])
    with pytest.raises(EncoderError, match=f"no usable static encoder in {tmp_path}"):
        StaticEncoder.load(tmp_path)


def test_a_file_of_other_arrays_is_an_encoder_error(tiny, tmp_path):
    from safetensors.numpy import save

    tiny.save(tmp_path)
    (tmp_path / "table.safetensors").write_bytes(save({"other": tiny.table}))
    with pytest.raises(EncoderError):
        StaticEncoder.load(tmp_path)
