"""How well the recognisers tell requests apart, on hand-labelled lists of one author. ``pytest -s`` prints the figures.

Three lists were worked with: ``development``, ``hard`` and ``fresh``, the latter two written to evade the patterns that
there were. Found of them at first sight, before any pattern was mended: of hard, half of the personal and two fifths of
the time-bound ones; of fresh, three fifths and a tenth. Two are held apart, and no pattern may be changed because of
them: ``held_out`` was written with development, of requests that say in so many words what they depend on;
``untouched`` last of all, of requests that mostly do not. Of the former nearly all are found, of the latter half and a
third: who relies on more must keep users apart (`KeyRules.per_user`) and entries short-lived.

Later 143 requests were written that say nothing at all of what they depend on ("Was the invoice paid?", "Who owns
Twitter?"), with as many plain ones like them, and split by a hash: ``unmarked`` was worked with, ``unmarked_apart`` was
not. Of it 4% of the personal and 21% of the time-bound ones were found before, 42% and 54% after; of untouched no more
than before, and of the plain ones in held_out one more is taken for time-bound: such requests come in more ways than
patterns can list.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from beast_ml.cache.recognise.instruction import instruction_of
from beast_ml.cache.recognise.language import reading_of
from beast_ml.cache.recognise.personal import is_personal, names_a_person
from beast_ml.cache.recognise.time_bound import is_time_bound

RECOGNISERS: dict[str, Callable[[str], bool]] = {"personal": is_personal, "time_bound": is_time_bound}
WORKED_WITH = ("development", "hard", "fresh", "unmarked")
HELD_APART = ("held_out", "untouched", "unmarked_apart")
LEAST_RECALL = {
    ("unmarked", "personal"): 0.95,
    ("unmarked", "time_bound"): 0.85,
    ("unmarked_apart", "personal"): 0.4,
    ("unmarked_apart", "time_bound"): 0.5,
    ("held_out", "personal"): 0.95,
    ("held_out", "time_bound"): 0.95,
    ("untouched", "personal"): 0.5,
    ("untouched", "time_bound"): 0.3,
}
LEAST_PRECISION = {("held_out", "time_bound"): 0.9}
HERE = Path(__file__).parent


def labelled(part: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (HERE / f"requests_{part}.jsonl").read_text("utf-8").splitlines()]


def figures(part: str, kind: str) -> tuple[float, float, list[str]]:
    """Return precision, recall and what was mistaken; a personal request may be time-bound, too."""
    found = missed = flagged_wrongly = 0
    mistakes = []
    for row in labelled(part):
        flagged, is_so = RECOGNISERS[kind](instruction_of(row["text"])), row["kind"] == kind
        found += flagged and is_so
        if is_so and not flagged:
            missed += 1
            mistakes.append(f"missed: {row['text']}")
        elif flagged and row["kind"] == "plain":
            flagged_wrongly += 1
            mistakes.append(f"wrongly flagged: {row['text']}")
    return found / max(found + flagged_wrongly, 1), found / (found + missed), mistakes


def test_the_lists_are_large_and_share_no_request() -> None:
    texts = {part: {row["text"].lower() for row in labelled(part)} for part in (*WORKED_WITH, *HELD_APART)}
    assert sum(len(texts[part]) for part in HELD_APART) >= 120
    assert sum(map(len, texts.values())) == len(frozenset().union(*texts.values())) >= 300


@pytest.mark.parametrize("kind", RECOGNISERS)
@pytest.mark.parametrize("part", [*WORKED_WITH, *HELD_APART])
def test_precision_and_recall(part: str, kind: str) -> None:
    precision, recall, mistakes = figures(part, kind)
    print(f"\n{part}, {kind}: precision {precision:.3f}, recall {recall:.3f}", *mistakes, sep="\n    ")  # noqa: T201 - figures
    assert recall >= LEAST_RECALL.get((part, kind), 1.0)
    assert precision >= LEAST_PRECISION.get((part, kind), 0.95)


@pytest.mark.parametrize("part", [*WORKED_WITH, *HELD_APART])
def test_english_is_read_as_english(part: str) -> None:
    readings = [reading_of(row["text"]) for row in labelled(part)]
    assert readings.count("other") == 0
    assert readings.count("english") >= 0.85 * len(readings)


@pytest.mark.parametrize(
    "text",
    [
        "Wie ist mein Kontostand?",
        "Wo ist meine Bestellung",
        "Quel temps fait-il aujourd'hui ?",
        "où est ma commande",
        "¿Cuál es mi saldo?",
        "dónde está mi pedido",
        "Qual è il mio saldo",
        "Onde está o meu pedido?",
        "Wat is mijn saldo?",
        "Hesap bakiyem nedir",
        "Gdzie jest moja paczka",
        "Var är min beställning",
        "Berapa saldo saya hari ini",
        "今日の天気は?",
        "Где мой заказ?",
        "ما هو رصيدي",
        "मेरा ऑर्डर कहाँ है",
        "내 주문은 어디에 있나요",
    ],
)
def test_other_languages_are_never_taken_for_english(text: str) -> None:
    assert reading_of(text) == "other"


@pytest.mark.parametrize("text", ["entropy", "SELECT 1", "3 * 7", "kubernetes ingress timeout", "", "Kant"])
def test_texts_without_common_words_are_not_guessed_at(text: str) -> None:
    assert reading_of(text) == "unsure"


@pytest.mark.parametrize(
    "text",
    [
        "What does こんにちは mean?",
        "Who was Gabriel García Márquez?",
        "Is the café in the novel real?",
        "What’s the difference between “naïve” and simple?",
    ],
)
def test_foreign_names_and_marks_do_not_make_english_foreign(text: str) -> None:
    assert reading_of(instruction_of(text)) == "english"


@pytest.mark.parametrize(
    "text",
    [
        "My name is Ann, how do I cook rice?",
        "I'm Robert Smith and I need a poem",
        "Write to ann.smith@example.org about rice",
        "My card 4556 7375 8689 9855 does not work",
        "Call +41 79 555 12 34",
        "Pay to DE89 3704 0044 0532 0130 00",
        "I am 45 years old. How much should I sleep?",
    ],
)
def test_texts_that_name_a_person_are_known(text: str) -> None:
    assert names_a_person(text)


@pytest.mark.parametrize(
    "text",
    [
        "What is 3.141592653589793?",
        "What happened on 2024-05-01?",
        "Who is Ann Smith?",
        "Add 12 34 56",
        "@property in Python",
    ],
)
def test_texts_that_name_nobody_are_not_flagged(text: str) -> None:
    assert not names_a_person(text)


def test_only_what_asks_is_read() -> None:
    assert instruction_of("Translate: Where is my order today?").strip() == "translate"
    assert "balance" not in instruction_of("What does 'my balance' mean?")
    assert instruction_of("What does `today()` do?").split() == ["what", "does", "do?"]
    assert "my order" in instruction_of("Hello: where is my order?")


HOSTILE = [
    "is ",
    "a",
    "“",
    "did i ",
    "`",
    "how many until ",
    "1 ",
    "hi ",
    "?",
    "what ? ",
    " ",
    "A",
    "please ",
    '"',
    "'",
    "x@",
    "x ",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_texts_take_no_more_than_twice_the_time_when_ten_times_as_long(piece: str) -> None:
    def spent(n_characters: int) -> float:
        text = piece * (n_characters // len(piece))
        start = time.process_time()
        instruction = instruction_of(text)
        is_personal(instruction), is_time_bound(instruction), names_a_person(text), reading_of(instruction)
        return time.process_time() - start

    spent(1_000)
    assert min(spent(200_000) for _ in range(3)) < 2 * max(spent(20_000) for _ in range(3)) + 0.02
    assert min(spent(200_000) for _ in range(3)) < 1.0
