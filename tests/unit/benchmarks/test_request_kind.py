import dataclasses
import json

import numpy as np
import pytest

from beast_ml.benchmarks.kind_plot import draw_confusion
from beast_ml.benchmarks.labelled_questions import LabelledQuestions, question_stem
from beast_ml.benchmarks.request_kind import KindScore, evaluate_request_kind
from beast_ml.errors import NotEnoughDataError
from beast_ml.features.hashing import HashingEncoder
from beast_ml.testing.worlds import make_world


def tasks_of(seed, n, prefix):
    outcomes = make_world(np.random.default_rng(seed), n, prefix=prefix).outcomes
    return list(outcomes.prompts), outcomes.tasks.tolist()


@pytest.fixture(scope="module")
def questions():
    one, two = tasks_of(1, 260, "a"), tasks_of(2, 260, "b")
    own = ([f"ledger invoice asset audit margin {i:06d}" for i in range(80)], ["accounting"] * 80)
    lone = ([*one[0][:5], "odd"], [*one[1][:5], "not in the table"])
    return LabelledQuestions.of({"one": one, "two": two, "own": own, "lone": lone})


@pytest.fixture(scope="module")
def evaluation(questions):
    return evaluate_request_kind(questions, HashingEncoder(), np.random.default_rng(0))


@pytest.mark.parametrize(
    "prompt",
    [
        "What is wet?\nA. Water\nB. Fire",
        "Question:What is wet?\nAnswer:",
        "What is wet?\n(A) Ice\n(B) Fire\nAnswer:",
        'what is  WET\nPrint only a single choice from "A" or "B".',
    ],
)
def test_a_question_has_one_stem_in_any_dress(prompt):
    assert question_stem(prompt) == "what is wet"


def test_questions_without_a_kind_are_counted_and_left_out(questions):
    assert questions.n_without_kind == {"lone": 1}
    assert "odd" not in questions.prompts


def test_a_question_of_two_sets_counts_in_each_but_is_distinct_once(questions):
    assert (questions.sets == "lone").sum() == 5
    assert not questions.first[questions.sets == "lone"].any()
    assert questions.first.sum() == 260 + 260 + 80
    shared = questions.groups[questions.sets == "lone"]
    assert np.isin(shared, questions.groups[questions.sets == "one"]).all()


def test_kinds_are_told_in_domain_and_on_a_set_of_the_same_kinds(evaluation):
    assert evaluation.in_domain.n_questions == 600
    assert set(evaluation.in_domain.kinds) == {"business", "code", "conversation", "maths", "translation"}
    value, low, high = dataclasses.astuple(evaluation.in_domain.macro_f1)
    assert 0.9 < low <= value <= high <= 1.0
    assert {each.name for each in evaluation.left_out} == {"one", "two"}
    for each in evaluation.left_out:
        assert each.unseen.macro_f1.value > 0.8
        assert each.unseen.n_questions == each.in_domain.n_questions == 260


def test_a_set_whose_kinds_no_other_has_cannot_be_left_out(evaluation):
    assert evaluation.not_left_out == ("lone", "own")


def test_a_report_is_plain_values_and_has_a_picture(evaluation, tmp_path):
    report = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert report["questions_without_kind"] == {"lone": 1}
    assert report["mean_macro_f1_left_out"]["unseen"] == pytest.approx(
        np.mean([each.unseen.macro_f1.value for each in evaluation.left_out])
    )
    assert sum(map(sum, report["in_domain"]["confusion"]["counts"])) == 600
    draw_confusion(tmp_path / "kinds.png", evaluation)
    assert (tmp_path / "kinds.png").read_bytes().startswith(b"\x89PNG")


def test_predicting_a_kind_that_does_not_count_is_an_error():
    truth, guessed = np.array(["a", "a", "b", "b"]), np.array(["a", "z", "b", "b"])
    score = KindScore.of(("a", "b"), truth, guessed, np.random.default_rng(0))
    assert score.table.tolist() == [[1, 0, 1], [0, 2, 0]]
    assert score.accuracy.value == 0.75
    assert score.macro_f1.value == pytest.approx((2 / 3 + 1) / 2)
    assert score.f1() == pytest.approx({"a": 2 / 3, "b": 1.0})


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng, held = np.random.default_rng(4), 0
    kinds = np.array(["a", "b", "c"])
    for _ in range(200):
        truth = rng.integers(3, size=150)
        guessed = np.where(rng.random(150) < 0.7, truth, rng.integers(3, size=150))
        score = KindScore.of(tuple(kinds), kinds[truth], kinds[guessed], rng)
        held += score.accuracy.low <= 0.8 <= score.accuracy.high
    assert 0.89 <= held / 200 <= 0.99


def test_too_few_kinds_are_refused():
    few = LabelledQuestions.of({"one": ([f"loop {i}" for i in range(50)], ["code"] * 50)})
    with pytest.raises(NotEnoughDataError, match="fewer than two kinds have 30 questions"):
        evaluate_request_kind(few, HashingEncoder(), np.random.default_rng(0))
