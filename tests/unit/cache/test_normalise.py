"""Normalising merges wordings that cannot matter, and never two questions with different answers."""

from __future__ import annotations

import os
import re
from hashlib import blake2b
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beast_ml.cache.canonical import canonical
from beast_ml.cache.normalise import normalised_text

MERGED = [
    ("How do I reset a router?", "how do i reset a router"),
    ("How do I reset a router?", "  How do I   reset a router ??  "),
    ("How do I reset a router?", "Hi! How do I reset a router? Thanks!"),
    ("How do I reset a router?", "Please, how do I reset a router"),
    ("How do I reset a router?", "how do I reset a router, please?"),
    ("What is the capital of France?", "what is the capital of France ?"),
    ("What’s a good name for a ship?", "what's a good name for a ship"),
    ("Explain the rules of chess.", "Could you please explain the rules of chess? Thank you so much!"),
    ("Explain the rules of chess.", "explain the rules of chess please"),
    ("Explain the rules of chess.", "explain the rules of chess pleaſe"),
    ("Give me three ideas for dinner", "Can you give me three ideas for dinner"),
    ("Make a cake without eggs", "Could you please make a cake without eggs?"),
    ("Compare cats with dogs", "Please, can you compare cats with dogs?"),
    ("Find a hotel in Rome", "Would you kindly find a hotel in Rome?"),
    ("Explain the rules of chess", "Can you explain the rules of chess, please?"),
    ("Tell me why the sky is blue", "I would like to know why the sky is blue"),
    ("what is a\u00a0router", "What is a router?"),
    ("what is a caf\u00e9 in Paris", "What is a cafe\u0301 in Paris?"),
    ("If I move, should I tell the bank?", "if I move, should I tell the bank?"),
    ("def f(x):\r\n    return x", "\n\ndef f(x):\n    return x\n"),
]

APART = [
    # numbers, units, ranges
    ("What is 2 + 2?", "What is 2 + 3?"),
    ("What is 5!", "What is 5?"),
    ("How far is 10 km?", "How far is 10 m?"),
    ("How much is 1,000 dollars?", "How much is 1,00 dollars?"),
    ("What is 1 000 in words?", "What is 1000 in words?"),
    ("Is 3.5 mg safe?", "Is 35 mg safe?"),
    ("What happened in 1812?", "What happened in 1821?"),
    ("List the top 5 songs", "List the top 50 songs"),
    ("What is -4 squared?", "What is 4 squared?"),
    ("What does 1-2 mean?", "What does 1 2 mean?"),
    # negation and antonyms
    ("Is it safe to fly?", "Is it not safe to fly?"),
    ("How do I enable 2FA?", "How do I disable 2FA?"),
    ("Can I eat this?", "Can't I eat this?"),
    ("What are foods with gluten?", "What are foods without gluten?"),
    ("Who can vote?", "Who cannot vote?"),
    ("Please explain the rules", "Please don't explain the rules"),
    ("Why is it hot?", "Why isn't it hot?"),
    # names, acronyms and case
    ("What is US law?", "What is us law?"),
    ("How do I use IT?", "How do I use it?"),
    ("Who are the Who?", "Who are the WHO?"),
    ("How do I polish silver?", "How do I Polish silver?"),
    ("What grows in Turkey?", "What grows in turkey?"),
    ("What is Apple worth?", "What is apple worth?"),
    ("Is March cold?", "Is march cold?"),
    ("What is AIDS?", "What is aids?"),
    ("What is a Bush?", "What is a bush?"),
    ("Who is May?", "Who is may?"),
    ("What is C?", "What is c?"),
    ("What is C?", "What is C++?"),
    ("What is C#?", "What is C?"),
    ("What is Go?", "What is go?"),
    ("Where is Reading?", "Where is reading?"),
    ("What is MHz?", "What is mHz?"),
    ("What is I in AC circuits?", "What is i in AC circuits?"),
    ("Who is Mark Twain?", "Who is Shania Twain?"),
    ("US imports", "us imports"),
    ("Does X own Y?", "Does Y own X?"),
    # order and roles
    ("Can a dog bite a man?", "Can a man bite a dog?"),
    ("How do I convert feet to metres?", "How do I convert metres to feet?"),
    ("Is A before B?", "Is B before A?"),
    ("Compare cats with dogs", "Compare dogs with cats"),
    # code, identifiers, links, markup
    ("How do I call `Foo`?", "How do I call `foo`?"),
    ("What is `a  b`?", "What is `a b`?"),
    ("What does my_var do?", "What does my_Var do?"),
    ("What is http://x.org/A?", "What is http://x.org/a?"),
    ("What is {a}?", "What is [a]?"),
    ("Is x == y?", "Is x = y?"),
    ("Why does a|b fail?", "Why does a b fail?"),
    ("if x:\n    y", "if x:\ny"),
    ("if x:\n    y", "if x:\n  y"),
    ("    indented", "indented first\n"),
    ("What is $5?", "What is 5?"),
    ("What is 5%?", "What is 5?"),
    ("Is a\tb fine?", "Is a b fine?"),
    ("What is @ann?", "What is ann?"),
    ("What is **x**?", "What is x?"),
    # quotations and texts handed over
    ('What does "the  end" mean?', 'What does "the end" mean?'),
    ('Is "Good." a clause?', 'Is "good." a clause?'),
    ("Explain 'may'", "Explain 'May'"),
    ("Translate: Thanks", "Translate: "),
    ("Translate to French: how are you, please", "Translate to French: how are you"),
    ("Describe this text: hello world. Thanks!", "Describe this text: hello world."),
    ("Explain this line:\nstop it, please", "Explain this line:\nstop it"),
    # texts about their own form
    ("How many bytes has the text caf\u00e9 in UTF-8?", "How many bytes has the text cafe\u0301 in UTF-8?"),
    ("How many spaces are in a  b?", "How many spaces are in a b?"),
    ("Is this spelled right: recieve?", "Is this spelled right: receive?"),
    ("Capitalise this: how are you", "Capitalise this: How are you"),
    ("Correct the punctuation: what is this", "Correct the punctuation: what is this?"),
    ("How do you say thanks?", "How do you say?"),
    ("How do you write thank you", "How do you write"),
    ("What is the meaning of please", "What is the meaning of"),
    ("Who sang Please Please Me?", "Who sang Please Me?"),
    ("Repeat after me: What is it?", "Repeat after me: what is it"),
    ("Write a message that ends in thanks", "Write a message that ends in"),
    ("Explain the magic of please", "Explain the magic of"),
    ("Give me a song by Please", "Give me a song by"),
    # marks that carry meaning
    ("It works.", "It works?"),
    ("Really?", "Really!"),
    ("Make sense?", "Make sense"),
    ("The capital of France is", "The capital of France is."),
    ("Once upon a time...", "Once upon a time"),
    ("Who founded Acme Inc.", "Who founded Acme Inc"),
    ("What is n!", "What is n"),
    ("Explain eats, shoots and leaves", "Explain eats shoots and leaves"),
    ("Hello, world program in C", "world program in C"),
    ("Hey Jude release", "Jude release"),
    ("Can you swim?", "swim?"),
    # whether it is possible or advised, and the request to do it
    ("Can you make a cake without eggs?", "Make a cake without eggs."),
    ("Would you give a dog chocolate?", "Give a dog chocolate."),
    ("Would you recommend the iPhone 15 to a student?", "Recommend the iPhone 15 to a student."),
    ("Can you write a will without a lawyer?", "Write a will without a lawyer."),
    ("Can you give a cat paracetamol?", "Give a cat paracetamol."),
    ("Can you find the inverse of a singular matrix?", "Find the inverse of a singular matrix."),
    ("Could you describe a colour to the blind?", "Describe a colour to the blind."),
    ("Hi! Can you make a cake without eggs? Thanks!", "Make a cake without eggs."),
    ("Would you lie to a friend?", "lie to a friend?"),
    ("Tell me how", "how"),
    ("What is re-sign?", "What is resign?"),
    ("What is x²?", "What is x2?"),
]


@pytest.mark.parametrize(("one", "other"), MERGED)
def test_wordings_of_one_question_are_merged(one: str, other: str) -> None:
    assert normalised_text(canonical(one)) == normalised_text(canonical(other))


@pytest.mark.parametrize(("one", "other"), APART)
def test_questions_with_different_answers_are_kept_apart(one: str, other: str) -> None:
    assert normalised_text(canonical(one)) != normalised_text(canonical(other))


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_nothing_is_left_to_do_the_second_time(text: str) -> None:
    once = normalised_text(canonical(text))
    assert normalised_text(once) == once


POLITE = frozenset(
    """hi hello hey there everyone all good morning afternoon evening please kindly could can would you tell me i i'd
    like to know thanks thank thx many cheers so very much a lot in advance""".split()  # noqa: SIM905 - reads as prose
)
WORDS = st.sampled_from(
    """How What Why is are do does can I i the The a of to in not no never US us It it May may Apple 2 2.0 10 10kg -3
    enable disable cat dog, dog. Who WHO C C++ please please, Please thanks Thanks! thank you explain Explain give me
    tell could would hello, Hello! hi. good morning, if If router x Why? what ?""".split()  # noqa: SIM905 - the same
)


def bare(token: str) -> str:
    return token.replace("’", "'").rstrip("?.!,") or token


@settings(deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=12), st.sampled_from([" ", "  ", "\u00a0"]))
def test_only_polite_words_at_the_ends_are_ever_dropped(tokens: list[str], blank: str) -> None:
    kept = normalised_text(blank.join(tokens)).split()
    starts = [
        start
        for start in range(len(tokens) - len(kept) + 1)
        if all(
            bare(old) == bare(new) or (bare(old).lower() == bare(new) and (old[:1] == "I" or at == 0))
            for at, (old, new) in enumerate(zip(tokens[start : start + len(kept)], kept, strict=True))
        )
        and {bare(t).lower() for t in tokens[:start] + tokens[start + len(kept) :] if t != "?"} <= POLITE
    ]
    assert starts, (tokens, kept)


@settings(deadline=None)
@given(st.lists(WORDS, min_size=3, max_size=9), st.data())
def test_a_number_a_negation_or_an_exchange_in_the_middle_is_never_lost(tokens: list[str], data: st.DataObject) -> None:
    at = data.draw(st.integers(1, len(tokens) - 2))
    put = data.draw(st.sampled_from(["7", "not", "never", "US", "x_1", "without"]))
    other = [*tokens[:at], put, *tokens[at:]]
    assert normalised_text(" ".join(tokens)) != normalised_text(" ".join(other))


def in_train_half(one: str, other: str) -> bool:
    """Half of the pairs, by a hash of their text."""
    return blake2b(f"{one}\0{other}".encode()).digest()[0] % 2 == 0


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("name", ["cache_qqp", "cache_mrpc"])
def test_few_merged_pairs_are_labelled_as_different(name: str) -> None:
    """Prints the merges with their labels: ``pytest -s -m real_data``; compares with stripping case and marks."""
    path = Path(os.environ.get("BEAST_DATA_DIR", "")) / name / "pairs.parquet"
    if not path.is_file():
        pytest.skip(f"{name} is not in BEAST_DATA_DIR")
    pairs = pd.read_parquet(path)
    in_half = pairs.split == "train" if name == "cache_mrpc" else list(map(in_train_half, pairs.text_a, pairs.text_b))
    pairs = pairs[in_half]
    merged = [
        row
        for row in pairs.itertuples()
        if normalised_text(canonical(row.text_a)) == normalised_text(canonical(row.text_b))
    ]
    wrong = [row for row in merged if not row.is_duplicate]
    print(f"\n{name}: {len(pairs)} pairs, {len(merged)} merged, {len(wrong)} labelled as different")  # noqa: T201 - a figure
    for row in wrong:
        print(f"    {row.text_a!r} | {row.text_b!r}")  # noqa: T201 - a figure to be seen
    # What is wrong by its label here differs in blanks alone: the label is, not the merge.
    assert all(re.sub(r"\s+", "", row.text_a) == re.sub(r"\s+", "", row.text_b) for row in wrong)
    assert len(wrong) <= 1e-4 * len(pairs)
