"""Light paraphrases: deterministic changes of the surface that leave the question what it was.

They are light, and only that: a greeting, a thank-you, the case of the first letter, blanks at the ends, the last
punctuation mark, English contractions. Nobody reorders or replaces content words here, so a cache or an encoder that
survives them has not been shown to survive real rewording.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

__all__ = ["N_PARAPHRASES", "paraphrase"]

_CONTRACTIONS: Final = {
    "do not": "don't",
    "does not": "doesn't",
    "did not": "didn't",
    "is not": "isn't",
    "are not": "aren't",
    "cannot": "can't",
    "will not": "won't",
    "it is": "it's",
    "that is": "that's",
    "what is": "what's",
    "who is": "who's",
    "where is": "where's",
    "i am": "I'm",
    "i have": "I've",
}
_LONG_FORM: Final = re.compile(rf"\b({'|'.join(_CONTRACTIONS)})\b", re.IGNORECASE)
_CODE: Final = re.compile(r"```|\bdef |\bclass |\breturn |[{};]|=>|>>>")
_MOSTLY_LATIN: Final = 0.5


def paraphrase(text: str, variant: int) -> str:
    """Return the text in another surface form; the same arguments give the same form, never the text itself.

    Where a form would change nothing (no contraction to make, no final punctuation), or could change the meaning
    (contractions inside code, English courtesy around Chinese text), the next one is taken; blanks at the ends always
    apply.

    Parameters
    ----------
    text
        Any prompt.
    variant
        Which form to try first, counted modulo `N_PARAPHRASES`.

    Examples
    --------
    >>> paraphrase("What is the capital of France?", 4)
    "What's the capital of France?"
    """
    forms = (_FORMS[(variant + step) % N_PARAPHRASES] for step in range(N_PARAPHRASES))
    return next(changed for form in forms if (changed := form(text)) != text)


def _is_latin(text: str) -> bool:
    letters = [character for character in text[:200] if character.isalpha()]
    return bool(letters) and sum(character.isascii() for character in letters) >= _MOSTLY_LATIN * len(letters)


def _greet(text: str) -> str:
    return f"Hi! {text}" if _is_latin(text) else text


def _ask_politely(text: str) -> str:
    return f"Please help me with this: {text}" if _is_latin(text) else text


def _thank(text: str) -> str:
    return f"{text.rstrip()}\nThank you!" if _is_latin(text) else text


def _lower_first(text: str) -> str:
    # A second capital marks an acronym or a name in capitals, and code is sensitive to case.
    if len(text) < 2 or text[1].isupper() or _CODE.search(text):
        return text
    return text[0].lower() + text[1:]


def _contract(text: str) -> str:
    if _CODE.search(text):
        return text
    return _LONG_FORM.sub(_contraction, text, count=1)


def _contraction(match: re.Match[str]) -> str:
    long = match.group()
    short = _CONTRACTIONS[long.lower()]
    return short[0].upper() + short[1:] if long[0].isupper() else short


def _end_otherwise(text: str) -> str:
    bare = text.rstrip()
    if bare.endswith("?") and not bare.endswith("??"):
        return f"{bare}?"
    return bare[:-1] if bare.endswith(".") and not bare.endswith("..") else text


def _pad(text: str) -> str:
    return f" {text}\n"


_FORMS: Final[tuple[Callable[[str], str], ...]] = (
    _greet,
    _ask_politely,
    _thank,
    _lower_first,
    _contract,
    _end_otherwise,
    _pad,
)

N_PARAPHRASES: Final = len(_FORMS)
"""Number of surface forms."""
