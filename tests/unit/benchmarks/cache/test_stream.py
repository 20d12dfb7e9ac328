from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from beast_ml.benchmarks.cache.catalogue import generated_questions, labelled_questions
from beast_ml.benchmarks.cache.stream import HOSTILE, ORDINARY, make_stream
from beast_ml.errors import DataError, InputError

SMALL = replace(ORDINARY, n_requests=5_000, n_questions=300)


@pytest.fixture(scope="module")
def stream():
    return make_stream(SMALL, seed=3)


def test_the_same_seed_gives_the_same_stream(stream):
    assert make_stream(SMALL, seed=3).requests == stream.requests
    assert make_stream(SMALL, seed=4).requests != stream.requests


def test_requests_come_in_order_within_the_time(stream):
    times = np.array([request.at_s for request in stream.requests])
    assert np.all(np.diff(times) >= 0)
    assert 0 <= times[0] < times[-1] <= SMALL.days * 86_400
    assert [request.number for request in stream.requests] == list(range(5_000))


def test_nights_and_weekends_are_quieter(stream):
    hours = np.array([request.at_s for request in stream.requests]) / 3_600
    of_day = hours % 24
    assert np.mean((of_day > 0) & (of_day < 6)) < 0.6 * np.mean((of_day > 12) & (of_day < 18))
    assert np.mean(hours // 24 % 7 >= 5) < 2 / 7 * 0.8


def test_few_questions_make_most_requests(stream):
    counts = Counter(request.question for request in stream.requests)
    assert sum(n for _, n in counts.most_common(30)) > 0.35 * 5_000


def test_the_truth_of_a_version_is_when_it_changed(stream):
    for request in stream.requests[::50]:
        changes = stream.changes_s[request.question]
        assert request.version == sum(changes <= request.at_s) == stream.version(request.question, request.at_s)
    assert all(r.version == 0 for r in stream.requests if r.kind == "maths")


def test_equal_texts_ask_the_same(stream):
    asked = defaultdict(set)
    for request in stream.requests:
        asked[" ".join(request.text.lower().split()).removeprefix("please ")].add(request.question)
    assert all(len(questions) == 1 for questions in asked.values())


def test_an_answer_is_right_for_its_tenant_question_and_version_only(stream):
    request = stream.requests[100]
    assert request.takes_answer_of(replace(request, number=5))
    for other in ({"tenant_id": "x"}, {"question": -1}, {"version": request.version + 1}):
        assert not request.takes_answer_of(replace(request, **other))


def test_the_hostile_setting_has_more_of_all_that_hurts():
    hostile = make_stream(replace(HOSTILE, n_requests=5_000, n_questions=300), seed=3)
    kind, ours = (Counter(request.form for request in each.requests) for each in (hostile, make_stream(SMALL, seed=3)))
    assert kind["near_miss"] > 3 * ours["near_miss"] > 0
    assert kind["paraphrase"] > ours["paraphrase"]


def test_twins_are_each_others_and_differ_in_text():
    questions = generated_questions(200, np.random.default_rng(0))
    for i, question in enumerate(questions):
        assert questions[question.twin].twin == i
        assert set(question.wordings).isdisjoint(questions[question.twin].wordings)
    texts = [wording for question in questions for wording in question.wordings]
    assert len(set(texts)) == len(texts)


def test_labelled_pairs_become_questions_with_twins(tmp_path):
    rows = [
        ("how to cook rice well", "best way to cook rice", True),
        ("best way to cook rice", "what is the way to cook rice", True),
        ("how to cook rice well", "how to cook rice badly", False),
        ("is rain wet", "is water wet", True),
        ("is rain wet", "what is the way to cook rice", True),  # would join two that are labelled as different below
        ("is water wet", "best way to cook rice", False),
    ]
    pd.DataFrame(rows, columns=["text_a", "text_b", "is_duplicate"]).to_parquet(tmp_path / "pairs.parquet")
    questions = labelled_questions(tmp_path / "pairs.parquet", 2, np.random.default_rng(0))
    assert sorted(sorted(question.wordings) for question in questions) == [
        ["best way to cook rice", "how to cook rice well", "what is the way to cook rice"],
        ["is rain wet", "is water wet"],
    ]
    with pytest.raises(DataError, match="ask for fewer"):
        labelled_questions(tmp_path / "pairs.parquet", 50, np.random.default_rng(0))


def test_says_what_is_wrong_with_a_setting():
    with pytest.raises(InputError, match="at least one request"):
        make_stream(replace(SMALL, n_requests=0))
    with pytest.raises(InputError, match="shares of 0 to 1"):
        make_stream(replace(SMALL, paraphrase_share=1.5))
