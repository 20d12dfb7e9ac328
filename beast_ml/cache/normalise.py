"""The same question without what does not matter to its answer: spacing, politeness, composition, a first word's case.

Two texts that come out equal share their answer without any model having been asked, so nothing is touched that could
carry meaning:

- a text about its own form ("how many letters...", "translate...", "say please") is left as it is;
- so is one with code, quotations, links, markup or tables in it, but for the blanks around it;
- of one of several lines, too, only the blanks around it go: where they end, a text handed over may begin;
- only blanks, how a letter is composed (NFC), a greeting or thanks set off at the ends, "please", "can you" where it
  can only be a request, a request's final mark and the first letter of a common word at the start are touched. Names,
  acronyms, numbers, negations and the order of words never are.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from beast_ml.cache.recognise.patterns import any_of, words

__all__ = ["normalised_text"]

_ASKING: Final = words(
    "how what why when where which who whose whom is are was were do does did can could should would has have",
    "what's who's where's how's",
)
_TELLING: Final = words(
    "explain describe list give show compare define outline suggest recommend create make find calculate",
    "discuss identify name write tell provide help",
)
_FIRST_WORDS: Final = _ASKING | _TELLING | {"the", "if", "there", "please"}

_ABOUT_FORM: Final = any_of(
    r"(?:spac(?:e|es|ing)|symbols?|white ?spaces?|indent\w*|tabs?|blanks?|new ?lines?|line ?breaks?|punctuation|commas?"
    r"|periods?|question marks?|exclamation\w*|characters?|letters?|capitals|capitali[sz]\w*|(?:upper|lower) ?case\w*"
    r"|cases?|initials|acronyms?|abbreviat\w*|spell\w*|typos?|typed?|types|grammar|grammatical\w*)\b",
    r"(?:words?|phrases?|terms?|sentences?|strings?|tokens?|tokeni\w*|messages?|emails?|titles?|albums?|songs?|lyrics|poems?"
    r"|haikus?|captions?|prompts?|quot\w*|thank you notes?)\b",
    r"(?:bytes?|utf\w*|unicode|ascii|code ?points?|diacritic\w*|accent\w*|umlauts?|normali[sz]\w*)\b",
    r"(?:proofread\w*|correct\w*|exact\w*|verbatim|literal\w*|count\w*|lengths?|format\w*|rewrit\w*|rephras\w*|rewords?"
    r"|edit\w*|translat\w*|repeat\w*|echo\w*|say|says|saying|said|pronounc\w*|revers\w*|encod\w*|decod\w*|hash\w*|encrypt\w*"
    r"|base64|regex\w*|mean|means|meaning|reply|respond|sing|sings|sang|continu\w*|complet\w*|reads? as|output|prints?"
    r"|parse\w*|sort(?:ed)?|polite\w*|courte\w*|rude|greet\w*)\b",
)
_MARKED_UP: Final = re.compile(r"[`\"“”„«»{}\[\]<>=|\\;$^~_#@*\t\v\f]|://|www\.|(?<!\w)['‘]|'(?!\w)|\d\s*[-+/x×÷]\s*\d")
_BLANKS: Final = re.compile("[ \u00a0\u202f\u2009]+")
_APOSTROPHE: Final = re.compile(r"(?<=[^\W\d_])’(?=[^\W\d_])")

_QUESTION: Final = r"(?:how|what|why|when|where|which|who)"
_COULD_YOU: Final = r"(?:could|can|would) you "
_DO: Final = (
    r"(?:explain|describe|list|give|show|compare|outline|suggest|recommend|create|make|find|write|provide|help)"
)
# "Can you make a cake without eggs?" may ask whether one can: only before "me", or with "please", it is a request.
_OPENING: Final = re.compile(
    r"(?:(?:hi|hello|hey|good (?:morning|afternoon|evening))(?: there| everyone| all)?[,!.]+ ?"
    rf"|(?:please,? {_COULD_YOU}|{_COULD_YOU}(?:please|kindly) )(?={_DO}\b)"
    rf"|{_COULD_YOU}(?={_DO} me\b|{_DO}\b.*, please[.?! ]*$)"
    r"|please,? |kindly "
    rf"|(?:{_COULD_YOU}(?:please |kindly )?)?tell me (?={_QUESTION}\b)"
    rf"|i(?:'d| would) like to know (?={_QUESTION}\b))",
    re.IGNORECASE,
)
_CLOSING: Final = re.compile(
    r"(?P<mark>[.?!]?),? (?:thanks|thank you|thx|many thanks|cheers)(?: (?:so|very) much| a lot| in advance)?[.! ]*$"
    r"|, please[.?! ]*$| please(?P<asked>[.?!]?)$",
    re.IGNORECASE,
)
_LEADS_ON: Final = words(
    "a an the of to in on at by for with and or but nor as is are was be do does did like called named about than not",
    "no his her their its my your our this that these those from into vs versus between please",
)
_FINAL: Final = re.compile(r"(?<=[A-Za-z]{3})[.!]$|(?<=[A-Za-z0-9)]) ?\?+$")
_ABBREVIATED: Final = re.compile(r"\b(?:etc|inc|corp|ltd|approx|dept|misc|incl|vol|fig|est|min|max)\.$", re.IGNORECASE)
_FIRST: Final = re.compile(r"[A-Z][a-z]+(?:'[a-z]+)?(?=[ ,]|$)")
_I: Final = re.compile(
    # The pronoun: after its verb in a question, or before it where a clause begins. Not the current, nor the numeral.
    # The letter stands first, for then nothing else is tried where there is none.
    r"I(?:(?<=\bdo I)(?= )|(?<=\bam I)(?= )|(?<=\b(?:can|did|had) I)(?= )|(?<=\bhave I)(?= )"
    r"|(?<=\b(?:could|would|shall) I)(?= )|(?<=\bshould I)(?= )"
    r"|(?:(?<=^I)|(?<=\bif I)|(?<=\b(?:how|why|and|but) I)|(?<=\b(?:when|what|that) I)|(?<=\bwhere I)|(?<=\bbecause I))"
    r"(?= (?:am|can|do|did|have|had|was|want|need|could|should|would|don't|can't|get|use)\b)"
    r"|(?<=\bI)(?='(?:m|ve|d|ll)\b))"
)
_CLOSES: Final = "thanks", "thank you", "thx", "cheers", "much", "a lot", "advance", "please"
"""How a text ends, marks aside, that `_CLOSING` can be found in."""
_MIN_WORDS: Final = 3
_ROUNDS: Final = 8


def normalised_text(text: str) -> str:
    """Return a user's words without what does not matter to their answer.

    Parameters
    ----------
    text
        One message, in canonical form.

    Examples
    --------
    >>> normalised_text("Hi! Could you tell me how I can reset a  router? Thanks a lot!")
    'how i can reset a router'
    >>> normalised_text('How many letters are in "router"?')
    'How many letters are in "router"?'
    """
    if _ABOUT_FORM.search(text.lower()):
        return text
    if not text.isascii() and (whole := unicodedata.normalize("NFC", text)) != text:
        return text if _ABOUT_FORM.search(whole.lower()) else normalised_text(whole)
    trimmed = text.strip(" \u00a0\r\n")
    if "\n" in trimmed or "\r" in trimmed or _MARKED_UP.search(text):
        return _outer_lines_gone(text)
    words = _BLANKS.sub(" ", trimmed)
    if "’" in words:
        words = _APOSTROPHE.sub("'", words)
    for _ in range(_ROUNDS):
        shorter = _without_mark(_without_closing(_without_opening(words)))
        if shorter == words:
            break
        words = shorter
    return _plain_case(words)


def _outer_lines_gone(text: str) -> str:
    """Keep the indentation of the first line: it may be code's."""
    return re.sub(r"\A(?:[ \u00a0]*\r?\n)+", "", text).rstrip(" \u00a0\r\n").replace("\r\n", "\n")


def _asks(words: str) -> bool:
    return _first_word(words) in _ASKING or _first_word(words) in _TELLING


def _first_word(words: str) -> str:
    return words.split(" ", 1)[0].rstrip(",").lower()


def _without_opening(words: str) -> str:
    match = _OPENING.match(words)
    if match is None:
        return words
    rest = words[match.end() :]
    goes_on = _asks(rest) or _OPENING.match(rest) is not None
    return rest if goes_on and rest.count(" ") >= _MIN_WORDS - 1 else words


def _without_closing(words: str) -> str:
    if not words.rstrip(".?! ")[-10:].casefold().endswith(_CLOSES):
        return words
    match = _CLOSING.search(words)
    if match is None or ":" in words:
        return words
    rest = words[: match.start()]
    if not _asks(_opened(rest)) or rest.count(" ") < _MIN_WORDS - 1:
        return words
    set_off = words[match.start()] in ".?!,"
    last = rest.rsplit(" ", 1)[-1].lower()
    if last in _LEADS_ON or (not set_off and match.group("asked") is None):
        return words
    return rest + (match.group("mark") or match.group("asked") or "")


def _opened(words: str) -> str:
    while (match := _OPENING.match(words)) is not None:
        words = words[match.end() :]
    return words


def _without_mark(words: str) -> str:
    if not words.endswith((".", "!", "?")):
        return words
    request = _opened(words)
    if not _asks(request) or ":" in words or (words.endswith(".") and _ABBREVIATED.search(words)):
        return words
    mark = _FINAL.search(words)
    if mark is None or (_first_word(request) in _TELLING and request.count(" ") < _MIN_WORDS - 1):
        return words
    return words[: mark.start()]


def _plain_case(words: str) -> str:
    first = _FIRST.match(words)
    if first is not None and first.group().lower() in _FIRST_WORDS:
        words = first.group().lower() + words[first.end() :]
    return _I.sub("i", words)
