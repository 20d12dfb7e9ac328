"""Whether the recognisers can read a text at all."""

from __future__ import annotations

import re
from typing import Final, Literal

from beast_ml.cache.recognise.patterns import words

__all__ = ["Reading", "reading_of"]

Reading = Literal["english", "other", "unsure"]
"""The language of a text, as far as rules for English need it."""

_WORD: Final = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_ENGLISH: Final = words(
    "the of and to is are was were be been being what how why who whom whose when where which does do did done",
    "doing i my mine you your yours can could should would will shall may might must with without for from by",
    "about into over under between this that these those there here it its he she they them their his her him we",
    "our us an a in on at as if or but not no than then so because while have has had get got make give tell show",
    "write explain describe list find create compare define summarize translate please want need like use using",
    "used best good new many much more most some any all each every other i'm i've i'd what's who's where's how's",
    "it's don't can't doesn't isn't that's whats dont cant am",
)
# The commonest words, and those of personal and time-bound requests.
_OTHERS: Final = words(
    # German
    "der das und ist nicht ein eine einen mein meine meinen ich wie warum wann wer welche welcher mit für von zum",
    "zur bitte heute morgen gestern jetzt konto kontostand rechnung bestellung kann auf auch oder aber sind wird",
    # French
    "le la les des est une du pas je tu vous nous mon ma mes pour avec dans sur qui que quoi quel quelle comment",
    "pourquoi quand combien où et ou aujourd'hui demain hier maintenant compte commande facture sont cette",
    # Spanish
    "el los las una es son por para con qué como cómo cuál cuándo dónde cuánto mi mis hoy mañana ayer ahora",
    "cuenta pedido saldo de del y lo se su",
    # Italian
    "il lo gli che chi cosa come perché quando dove quanto sono è della del nel per con mio mia miei oggi domani",
    "ieri adesso ora ordine conto un uno",
    # Portuguese
    "o os um uma da dos das não meu minha hoje amanhã ontem agora qual quem quanto onde são pedido conta",
    # Dutch
    "het een niet ik jij mijn wat hoe waarom wanneer wie welke van voor met naar vandaag morgen gisteren nu",
    "bestelling",
    # Swedish
    "jag och att det som en är inte min mitt vad hur varför när var idag",
    # Polish
    "nie jest się czy jak co mój moja moje dzisiaj dziś jutro na z w że",
    # Turkish
    "bir ve bu ne nasıl neden benim bugün yarın şimdi hesap sipariş",
    # Indonesian
    "saya apa bagaimana yang di dan ini itu hari untuk",
)
_BOTH: Final = _ENGLISH & _OTHERS
_LATIN: Final = re.compile(r"[A-Za-z\u00C0-\u024F]")


def reading_of(text: str) -> Reading:
    """Return what language a text is in, as far as its commonest words tell.

    ``unsure`` is a text without any such word: a keyword, a formula, a line of code.

    Examples
    --------
    >>> reading_of("What is entropy?"), reading_of("Wie ist mein Kontostand?"), reading_of("entropy")
    ('english', 'other', 'unsure')
    """
    told = set(_WORD.findall(text.lower())) - _BOTH
    n_english, n_others = len(told & _ENGLISH), len(told & _OTHERS)
    if n_english > n_others:
        return "english" if text.isascii() or _mostly_latin(text) else "other"
    if n_others:
        return "other"
    return "unsure" if text.isascii() else "other"


def _mostly_latin(text: str) -> bool:
    n_letters = sum(map(str.isalpha, text))
    return 2 * len(_LATIN.findall(text)) >= n_letters
