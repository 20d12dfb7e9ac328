"""The part of a message that asks, without the code, quotations and texts it hands over to be worked on."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["ends_of", "instruction_of", "is_about_programs"]

_CODE: Final = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_QUOTED: Final = re.compile(r"\"[^\"]{0,2000}\"|“[^”]{0,2000}”|«[^»]{0,2000}»|(?<!\w)'[^'\n]*'(?!\w)")
_WORKS_ON_TEXT: Final = re.compile(
    r"^\W*(?:please |now |(?:can|could|would) you )*"
    r"(?:translate|summari[sz]e|rewrite|rephrase|paraphrase|proofread|correct|edit|shorten|expand|classify|extract"
    r"|improve|polish|fix|convert|analy[sz]e|simplify|reword|format|continue|complete|write it|rewrite it)\b"
)
_SPEAKS_OF_WORDS: Final = re.compile(
    r"\b(?:phrase|word|term|sentence|saying|idiom|expression|quote|mean|means|meaning|pronounce|spell)\b"
)
_READ_AT_EACH_END: Final = 2_000
_HANDED_OVER: Final = re.compile(r":\s|\n")
_PROGRAMS: Final = re.compile(
    r"\b(?:python|javascript|typescript|java|rust|golang|kotlin|swift|php|perl|ruby|scala|bash|shell|powershell|sql"
    r"|postgres|postgresql|mysql|sqlite|regex|regular expression|git|docker|kubernetes|linux|unix|css|html|react|vue"
    r"|angular|django|flask|pandas|numpy|excel|spreadsheet|formula|query|queries|script|function|method|class|variable"
    r"|compiler|library|algorithm|code|program|directory|folder|timestamp|datetime|thread|stack trace|exception"
    r"|command line|commit|branch|repository|api|json|yaml|csv|xml)\b|\b(?:in|with|using) (?:go|c|r)\b|c\+\+|c#"
)


def ends_of(text: str) -> str:
    """Return both ends of a very long message, where instructions stand: none but an equal one is served its answer."""
    if len(text) <= 2 * _READ_AT_EACH_END:
        return text
    return f"{text[:_READ_AT_EACH_END]}\n{text[-_READ_AT_EACH_END:]}"


def instruction_of(text: str) -> str:
    """Return the words of a message that ask for something, in small letters.

    Code is left out; so are quotations and what follows a colon or a line's end, where the request is to work on a
    given text: in "Translate: where is my passport?" nobody asks for a passport.
    """
    text = ends_of(text)
    prose = _CODE.sub(" ", text) if "`" in text else text
    prose = prose.replace("’", "'").lower()
    if _WORKS_ON_TEXT.match(prose):
        return _QUOTED.sub(" ", _HANDED_OVER.split(prose, maxsplit=1)[0])
    if _SPEAKS_OF_WORDS.search(prose):
        return _QUOTED.sub(" ", prose)
    return prose


def is_about_programs(instruction: str) -> bool:
    """Return whether a request is about programming, where "current" and "latest" are seldom about the world."""
    return _PROGRAMS.search(instruction) is not None
