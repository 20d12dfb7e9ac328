import random

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from beast_ml.features import wordpiece
from beast_ml.features.encoder import StaticEncoder, clip_text
from beast_ml.features.wordpiece import WordPieceIds, splits_like_bert
from beast_ml.testing.worlds import make_world

# What tokenizers treat in ways of their own: controls, odd spaces, marks, letters whose case changes their length,
# Chinese, characters beside them in Unicode, special tokens.
ODD = (
    *"abZ09 \t\n\r_-'\"[]#.,?",
    *"\x00\x0b\x0c\x1c\x1f\x7f\x85\xa0\u0301\u200b\u2028\u3000\ufffd",
    *"éßİΣσς你好䷀䶵가ﬁｆ，。’—😀",
    *("##ing", "[CLS]", "[unk]", "[MASK]", "unaffable", "x" * 101),
)
TEXTS = st.lists(st.sampled_from(ODD) | st.characters(exclude_categories=["Cs"]), max_size=40).map("".join)


@pytest.fixture(scope="module")
def asked(distilled):
    """Return token ids as the tokenizer gives them."""
    tokenizer = distilled._tokenizer
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


@pytest.fixture(scope="module")
def words(distilled):
    return WordPieceIds(distilled._tokenizer)


@settings(deadline=None, max_examples=300)
@given(TEXTS)
@example("")
@example("snake_case it's 3.14%")
@example("a\u0301\x00b\x0bc")
@example("y" * 100 + " " + "y" * 101)
@example("what does [SEP] mean?")
def test_ids_are_the_tokenizers_own(words, asked, text):
    assert words.of(text).tolist() == asked(text)


def test_every_character_of_the_basic_plane_is_split_as_the_tokenizer_does(words, asked):
    for first in range(0, 0x10000, 64):
        codes = (code for code in range(first, first + 64) if not 0xD800 <= code < 0xE000)
        text = " ".join(f"ab{chr(code)}cd" for code in codes)
        assert words.of(text).tolist() == asked(text), hex(first)


def test_known_words_are_not_asked_again(distilled, asked):
    class Counting:
        def __init__(self):
            self.n = 0

        def __getattr__(self, name):
            self.n += name in ("encode", "token_to_id")
            return getattr(distilled._tokenizer, name)

    tokenizer = Counting()
    words = WordPieceIds(tokenizer)
    text = "Unbelievably, the café's router unbelievably ROUTES!"
    first = words.of(text).tolist()
    n = tokenizer.n
    assert n > 0
    assert words.of(text).tolist() == first == asked(text)
    assert tokenizer.n == n


def test_the_dictionary_is_bounded(distilled, asked, monkeypatch):
    monkeypatch.setattr(wordpiece, "_MAX_WORDS", 10)
    words = WordPieceIds(distilled._tokenizer)
    text = " ".join(f"w{i}" for i in range(25)) + " " + "z" * 65
    assert words.of(text).tolist() == asked(text)
    assert 0 < len(words) <= 10
    assert "z" * 65 not in words


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": None},
        {"normalizer": {"type": "Lowercase"}},
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"}},
        {"added_tokens": [{"id": 0, "content": "x", "normalized": True}]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_only_what_is_known_to_split_word_by_word_is_split_so(distilled, change):
    spec = msgspec.json.decode(distilled.tokenizer_json)
    assert splits_like_bert(distilled.tokenizer_json)
    assert not splits_like_bert(msgspec.json.encode(spec | change))


def test_vectors_are_those_of_the_tokenizers_ids_to_the_bit(distilled, asked):
    slow = StaticEncoder(distilled.table, distilled.tokenizer_json)
    slow.__dict__["_words"] = None  # as if the tokenizer were of another kind
    rng = random.Random(0)
    odd = ["".join(rng.choices(ODD, k=60)) for _ in range(50)]
    texts = [*make_world(np.random.default_rng(0), 50).outcomes.prompts, *odd, "", "\ud800", "word " * 5000]
    assert distilled.encode(texts).tobytes() == slow.encode(texts).tobytes()
    assert [distilled._words.of(clip_text(text)).tolist() for text in texts] == [
        asked(clip_text(text)) for text in texts
    ]
