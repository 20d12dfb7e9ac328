import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.cache.verifier.facts import read_facts


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("five miles", {5.0}),
        ("1,000 euros", {1000.0}),
        ("two hundred people", {200.0}),
        ("2.5k views", {2500.0}),
        ("in 2016", set()),  # a year is a date
        ("no numbers", set()),
    ],
)
def test_numbers_are_read_however_they_are_written(text, numbers):
    assert read_facts(text).numbers == numbers


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("60 minutes", "one hour", True),
        ("30 seconds", "30 minutes", False),
        ("5 kg", "5 kilos", True),
        ("5 kg", "5 pounds", False),
        ("$20", "20 dollars", True),
        ("20 dollars", "20 euros", False),
    ],
)
def test_quantities_are_compared_in_base_units(one, other, equal):
    assert (read_facts(one).quantities == read_facts(other).quantities) is equal
    assert read_facts(one).quantities


def test_months_years_days_and_relative_days_are_dates():
    assert read_facts("On 2024-05-01, or next Friday in June 2023, or tomorrow").dates == {
        "2024",
        "month 5",
        "day 1",
        "friday",
        "month 6",
        "2023",
        "tomorrow",
    }


def test_may_is_a_month_only_where_it_reads_like_one():
    assert read_facts("May I go?").dates == set()
    assert read_facts("holidays in May").dates == {"month 5"}


def test_names_are_capitals_away_from_the_beginning_of_a_sentence():
    assert read_facts("Why did Tesla leave? Because Edison and NASA paid.").names == {"tesla", "edison", "nasa"}


@pytest.mark.parametrize(("text", "n"), [("Don't go", 1), ("I cannot not go", 2), ("Go without me", 1), ("Go", 0)])
def test_negations_are_counted(text, n):
    assert read_facts(text).negations == n


def test_roles_tell_who_goes_where():
    assert read_facts("from Paris to Rome").roles == {("paris", "from"), ("rome", "to")}
    assert read_facts("from Rome to Paris").roles != read_facts("from Paris to Rome").roles


def test_code_is_read_as_it_is_written():
    code = read_facts("Call `np.sort` on my_list with --axis=0, not camelCase != x").code
    assert {"np.sort", "my_list", "--axis", "camelCase", "!="} <= code


@pytest.mark.parametrize(("text", "word"), [("How many people?", "how many"), ("and why?", "why"), ("Go!", "")])
def test_the_question_word_is_found(text, word):
    assert read_facts(text).question == word


@given(st.text(max_size=300))
def test_any_text_can_be_read(text):
    facts = read_facts(text)
    assert set(facts.content) <= set(facts.words)
