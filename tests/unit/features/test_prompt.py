import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.features import prompt
from beast_ml.features.prompt import PROMPT_FEATURES, prompt_features

ANY_TEXT = st.text(st.characters() | st.characters(categories=["Cs"]))


def count(text, name):
    """A feature is log(1 + n): give n back."""
    return round(float(np.expm1(prompt_features(text)[PROMPT_FEATURES.index(name)])), 4)


@given(ANY_TEXT)
def test_features_are_finite_not_negative_and_reproducible(text):
    row = prompt_features(text)
    assert row.shape == (len(PROMPT_FEATURES),)
    assert row.dtype == np.float32
    assert np.isfinite(row).all()
    assert (row >= 0).all()
    assert row.tobytes() == prompt_features(text).tobytes()


@given(ANY_TEXT | st.text(st.characters(max_codepoint=127)))
def test_words_are_runs_of_letters_whether_or_not_the_text_is_ascii(text):
    assert prompt._words(text) == re.findall(r"[^\W\d_]+", text.lower())


@given(st.text("A(1). \n\t\r\x0b\u2028x", max_size=40))
def test_options_are_counted_with_blank_lines_before_them_or_without(text):
    over_lines = re.compile(r"^\s*\(?(?:[A-Ja-j]|\d{1,2})[).:]\s", re.MULTILINE)
    assert len(prompt._OPTION_LINE.findall(text)) == len(over_lines.findall(text))


@pytest.mark.parametrize("blank", ["\n", " \n", "\t\r\n", "\n\n\n"])
def test_looking_for_an_option_at_a_line_ends_with_that_line(blank):
    """Else the work grows with the square of the text: 4 kB of newlines cost .2 s."""
    text = blank * 3 + "A) x"
    assert prompt._OPTION_LINE.match(text) is None
    assert [found.start() for found in prompt._OPTION_LINE.finditer(text)] == [len(blank) * 3]


@given(st.binary())
def test_every_byte_is_counted_in_its_class(raw):
    classes = prompt._BYTE_CLASSES.values()
    members = [set(codes.encode()) if isinstance(codes, str) else set(codes) for codes in classes]
    counted = prompt._histogram(raw.translate(prompt._CLASS_OF), len(members)).tolist()
    assert counted == [sum(byte in codes for byte in raw) for codes in members]


def test_names_are_unique():
    assert len(set(PROMPT_FEATURES)) == len(PROMPT_FEATURES)


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("one two three", "words", 3),
        ("a\nbb\nccc", "lines", 3),
        ("a\nbb\nccc", "longest_line", 3),
        ("a a b", "distinct_word_share", 0.5),
        ("Why?  ", "ends_with_question", 1),
        ("Why.", "ends_with_question", 0),
        ("Pick:\nA) x\n(b) y\n3. z\nDo: not", "option_lines", 3),
        ("12 ab", "digit_share", 0.4),
        ("AB cd", "upper_share", 0.4),
        ("a+=b", "symbol_share", 0.5),
        ("x = {y: [1]}", "chars_curly_bracket", 2),
        ("用中文", "chars_cjk", 3),
        ("größe", "chars_latin_accent", 2),
        ("привет", "chars_cyrillic_or_greek", 6),
        ("😀", "chars_four_bytes", 1),
        ("def f(): return", "words_code", 2),
        ("Solve the equation", "words_maths", 2),
        ("HOW", "words_ask_how", 1),
        ("der und die", "words_german", 3),
    ],
)
def test_what_a_feature_counts(text, name, expected):
    assert count(text, name) == pytest.approx(expected, abs=1e-3)


def test_the_true_length_is_known_though_only_the_ends_are_read():
    text = "x" * 2000 + "7" * 5000 + "y" * 2000
    assert count(text, "chars") == pytest.approx(9000, rel=1e-3)
    assert count(text, "chars_digit") == 0
