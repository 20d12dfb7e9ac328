"""What can be read off a prompt's surface in a dozen microseconds: length, form, code, maths, options, language.

Counts of characters come from one histogram of the classes of the UTF-8 bytes; counts of words from one pass over the
words. All counts are log(1 + n), so that no prompt, however long, leaves the range of the others.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["PROMPT_FEATURES", "prompt_features"]

_WINDOW_CHARS: Final = 4000

_BYTE_CLASSES: Final[dict[str, str | range]] = {
    "digit": "0123456789",
    "upper": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "lower": "abcdefghijklmnopqrstuvwxyz",
    "space": " \t",
    "newline": "\n",
    "question_mark": "?",
    "exclamation_mark": "!",
    "period": ".",
    "comma": ",",
    "colon": ":",
    "semicolon": ";",
    "single_quote": "'",
    "double_quote": '"',
    "backtick": "`",
    "round_bracket": "()",
    "square_bracket": "[]",
    "curly_bracket": "{}",
    "comparison": "<>",
    "equals": "=",
    "arithmetic": "+-*/%",
    "caret": "^",
    "dollar": "$",
    "backslash": "\\",
    "underscore": "_",
    "pipe": "|",
    "hash": "#",
    "at_or_ampersand": "@&",
    "latin_accent": range(0xC3, 0xC6),
    "cyrillic_or_greek": range(0xCE, 0xD2),
    "other_two_bytes": range(0xD2, 0xE0),
    "symbol_three_bytes": range(0xE0, 0xE4),
    "cjk": range(0xE4, 0xEE),
    "four_bytes": range(0xF0, 0xF5),
}

_WORD_GROUPS: Final[dict[str, str]] = {
    "ask_what": "what which who whom whose",
    "ask_how": "how",
    "ask_why": "why explain because reason",
    "ask_when_where": "when where",
    "ask_quantity": "many much total sum average percent percentage ratio cost price per each twice half",
    "ask_yes_no": "is are does do can could would should did was were",
    "choose": "correct following option options choice choices answer select true false best statement statements",
    "instruct_write": "write generate create compose draft produce make",
    "instruct_transform": "translate summarize rewrite paraphrase convert correct edit sort list extract classify",
    "code": "def return function class import print int str list array string code python java javascript sql "
    "assert implement algorithm method loop variable output input",
    "maths": "solve equation integer prime polynomial triangle angle probability function theorem proof derivative "
    "integral matrix vector equal find value number numbers digits compute calculate",
    "science": "energy force mass cell cells acid temperature pressure electron atom species velocity charge reaction",
    "law_and_society": "law court state government contract plaintiff defendant rights policy economic market moral "
    "ethical social historical century war",
    "medicine": "patient disease treatment symptoms blood clinical doctor pain drug medical",
    "negation": "not no never none except without nor cannot",
    "logic": "if then therefore all some any every either neither implies",
    "person": "he she his her him they you your my i we",
    "past": "had was were did went said",
    "step_by_step": "step steps reasoning think show",
    "json": "json schema parameters type description required properties tool tools",
    "length_short": "briefly short concise single only letter word words",
    "length_long": "detailed detail comprehensive essay thorough explanation",
    "spanish_french": "el la los las que de en le les des est une pour dans",
    "german": "der die das und ist nicht ein eine mit auf",
    "please": "please thanks thank kindly help",
}

_SHAPES: Final = (
    "chars",
    "words",
    "lines",
    "words_per_line",
    "chars_per_word",
    "distinct_word_share",
    "longest_line",
    "option_lines",
    "ends_with_question",
    "digit_share",
    "upper_share",
    "symbol_share",
)

PROMPT_FEATURES: Final[tuple[str, ...]] = (
    *_SHAPES,
    *(f"chars_{name}" for name in _BYTE_CLASSES),
    *(f"words_{name}" for name in _WORD_GROUPS),
)
"""Names of what `prompt_features` returns, in order."""


def _class_of() -> bytes:
    """Return the class of each byte; no byte has two, and those that have none come last."""
    table = bytearray([len(_BYTE_CLASSES)]) * 256
    for column, members in enumerate(_BYTE_CLASSES.values()):
        for code in members.encode() if isinstance(members, str) else members:
            table[code] = column
    return bytes(table)


_CLASS_OF: Final = _class_of()
_GROUPS_OF: Final = {
    word: bytes(i for i, words in enumerate(_WORD_GROUPS.values()) if word in words.split())
    for words in _WORD_GROUPS.values()
    for word in words.split()
}
_WORD: Final = re.compile(r"[^\W\d_]+")
_ASCII_LETTERS: Final = {code: chr(code).lower() if chr(code).isalpha() else " " for code in range(128)}
# Space before an option may not reach over lines: of a text of blank ones, each would be read to the end.
_OPTION_LINE: Final = re.compile(r"^[^\S\n]*\(?(?:[A-Ja-j]|\d{1,2})[).:]\s", re.MULTILINE)

_FIRST_CLASS: Final = len(_SHAPES)
_FIRST_GROUP: Final = _FIRST_CLASS + len(_BYTE_CLASSES)


def prompt_features(text: str) -> NDArray[np.float32]:
    """Return the surface features of one prompt, in the order of `PROMPT_FEATURES`.

    Only the first and last 2,000 characters are read; the true length is a feature.
    """
    n_chars = len(text)
    if n_chars > _WINDOW_CHARS:
        text = f"{text[: _WINDOW_CHARS // 2]}\n{text[-_WINDOW_CHARS // 2 :]}"
    # Lone surrogates cannot be encoded; a prompt that holds one is odd, not an error.
    chars = _histogram(text.encode("utf-8", "replace").translate(_CLASS_OF), len(_BYTE_CLASSES))
    words = _words(text)
    lines = text.split("\n")
    n_words, n_lines, seen = len(words), len(lines), max(len(text), 1)
    digits, upper, lower, space = chars[:4].tolist()
    out = np.empty(len(PROMPT_FEATURES), dtype=np.float32)
    out[:_FIRST_CLASS] = (
        n_chars,
        n_words,
        n_lines,
        n_words / n_lines,
        seen / (n_words + 1),
        len(set(words)) / (n_words + 1),
        max(map(len, lines)),
        len(_OPTION_LINE.findall(text)),
        text.rstrip().endswith("?"),
        digits / seen,
        upper / seen,
        max(0.0, 1.0 - (upper + lower + space) / seen),
    )
    out[_FIRST_CLASS:_FIRST_GROUP] = chars
    out[_FIRST_GROUP:] = _histogram(b"".join(filter(None, map(_GROUPS_OF.get, words))), len(_WORD_GROUPS))
    return np.log1p(out, out=out)


def _words(text: str) -> list[str]:
    """Return the runs of letters in lower case; splitting is four times as fast as a pattern, where it will do."""
    if text.isascii():
        return text.translate(_ASCII_LETTERS).split()
    return _WORD.findall(text.lower())


def _histogram(codes: bytes, n: int) -> NDArray[np.intp]:
    """Return how often each of the codes 0 .. n-1 occurs."""
    return np.bincount(np.frombuffer(codes, dtype=np.uint8), minlength=n)[:n]
