import asyncio

import pytest

from beast_ml.domain import Price
from beast_ml.domain.endpoint import Endpoint
from beast_ml.errors import DataError, InputError, ProviderError
from beast_ml.serving.asking import ask
from beast_ml.serving.asking.ask import Asker
from beast_ml.serving.asking.grade import EqualGrader, ModelGrader
from beast_ml.serving.asking.journal import CallJournal
from beast_ml.serving.asking.round import Question, answer_all
from beast_ml.testing.fake_provider import FakeProvider, Outcome, ProviderScript

PRICES = {"new": Price(1.0, 3.0), "judge": Price(0.1, 0.1)}
QUESTIONS = [Question(f"q{i}", f"prompt {i} " + "word " * (i % 5), "Rome") for i in range(12)]


@pytest.fixture
def provider():
    script = ProviderScript({"new": (Outcome(text="Rome."),), "judge": (Outcome(text="8"),)})
    with FakeProvider(script) as running:
        yield running


@pytest.fixture
def run(provider, tmp_path):
    """Ask the new model all questions; return the answers, and what they have cost."""

    def run(grader=None, *, max_usd=1.0, questions=QUESTIONS, models=("new",), **more):
        endpoints = [Endpoint(name, name, provider.base_url(name), timeout_s=2.0) for name in ("new", "judge")]
        journal = CallJournal(tmp_path / "calls.jsonl")

        async def all_of_it():
            asker = Asker(endpoints, PRICES, {}, journal, max_usd=max_usd, max_tokens=50)
            grades = {"equal": EqualGrader(), "model": ModelGrader(asker, "judge"), None: None}[grader]
            try:
                return await answer_all(asker, models, questions, grades, **more), asker.spent_usd
            finally:
                await asker.close()

        return asyncio.run(all_of_it())

    return run


def test_answers_are_graded_and_their_cost_is_known(run, provider):
    seen = []
    answers, spent = run("equal", progress=lambda done, total: seen.append((done, total)))
    assert [each.question for each in answers] == QUESTIONS
    assert {each.quality for each in answers} == {1.0}
    assert spent == pytest.approx(sum(each.call.cost_usd for each in answers))
    assert answers[0].call.cost_usd == PRICES["new"].cost_usd(answers[0].call.input_tokens, 1)
    assert seen[-1] == (12, 12)


def test_a_model_gives_marks_and_its_calls_count_to_the_same_money(run, provider):
    answers, spent = run("model")
    assert {each.quality for each in answers} == {0.8}
    assert spent > sum(each.call.cost_usd for each in answers)
    asked = [call.body["messages"][1]["content"] for call in provider.calls if call.model == "judge"]
    assert len(asked) == 12
    assert all("Reference:\nRome" in text and "Answer:\nRome." in text for text in asked)


def test_what_was_answered_is_not_asked_again_and_what_failed_is(run, provider, monkeypatch):
    monkeypatch.setattr(ask, "_FIRST_WAIT_S", 0.01)
    run(questions=QUESTIONS[:5])
    provider.fail("unavailable", model="new")
    answers, _ = run("equal")
    assert [each.call.error_kind for each in answers] == [None] * 5 + ["provider"] * 7
    assert [each.quality for each in answers] == [1.0] * 5 + [None] * 7
    provider.heal()
    n = len(provider.calls)
    answers, _ = run("equal")
    assert {each.quality for each in answers} == {1.0}
    assert len(provider.calls) == n + 7


@pytest.mark.parametrize("at_once", [1, 12])
def test_the_bound_holds_and_the_first_prompts_are_complete(run, provider, at_once):
    _, all_of_it = run("model", questions=QUESTIONS)
    other = [Question(f"r{i}", f"another {i}") for i in range(40)]
    bound = all_of_it + 0.0006
    answers, spent = run("model", questions=other, max_usd=bound, at_once=at_once)
    assert spent <= bound
    asked = [each.call is not None for each in answers]
    assert 0 < sum(asked) < 40
    if at_once == 1:
        assert asked == sorted(asked, reverse=True)


def test_a_failure_that_may_have_cost_counts_as_all_that_it_could(run, provider, monkeypatch):
    monkeypatch.setattr(ask, "_TRIES", 1)
    provider.fail("garbage", model="new")
    answers, spent = run(questions=QUESTIONS[:1])
    assert answers[0].call.said.endswith("which is no chat completion")
    assert spent >= PRICES["new"].cost_usd(0, 50)
    provider.heal()
    provider.fail("rate_limit", model="new")
    assert run(questions=QUESTIONS[:1])[1] == spent


def test_a_key_that_is_refused_ends_it_at_once(run, provider):
    provider.app.script = ProviderScript(api_key="another")
    with pytest.raises(ProviderError, match="auth"):
        run(at_once=2)
    assert len(provider.calls) <= 4


def test_a_model_without_a_price_is_refused(tmp_path):
    with pytest.raises(InputError, match="no price"):
        Asker([Endpoint("e", "m", "http://x/v1")], {}, {}, CallJournal(tmp_path / "calls.jsonl"), max_usd=1.0)


def test_a_line_that_was_cut_is_dropped_and_any_other_file_is_refused(run, tmp_path):
    run(questions=QUESTIONS[:3])
    path = tmp_path / "calls.jsonl"
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    assert len(CallJournal(path).calls) == 2
    path.write_text("query_id,prompt\n")
    with pytest.raises(DataError, match="line 1"):
        CallJournal(path)
