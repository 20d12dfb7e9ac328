import asyncio

import msgspec
import pytest

from beast_ml.errors import UnavailableError
from beast_ml.serving.answer_cache.judges import Doubt, EqualAnswers, ModelJudge
from beast_ml.serving.gateway.chat_request import decode_chat
from beast_ml.serving.gateway.contract import WholeAnswer
from beast_ml.serving.request_ids import RequestIds


def completion(text):
    return msgspec.json.encode({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]})


class Gateway:
    def __init__(self, said):
        self.said, self.asked = said, []

    async def answer(self, chat, tenant, request_id):
        self.asked.append((chat, tenant, request_id))
        if isinstance(self.said, Exception):
            raise self.said
        return WholeAnswer(completion(self.said), {})


def wrong(judge, fresh="Paris.", cached="Lyon."):
    return asyncio.run(judge.wrong(Doubt("acme", "The capital?", completion(fresh), completion(cached))))


@pytest.mark.parametrize(
    ("cached", "verdict"), [("Paris.", False), (" paris", False), ("Lyon.", True), ("Paris, of course", True)]
)
def test_equal_answers_are_right_whatever_their_blanks_and_case(cached, verdict):
    assert wrong(EqualAnswers(), cached=cached) is verdict


def test_what_is_no_completion_cannot_be_judged():
    for judge in (EqualAnswers(), ModelJudge(Gateway("yes"), RequestIds(bytes(16)), "small")):
        assert asyncio.run(judge.wrong(Doubt("acme", "?", completion("Paris"), b"!nothing"))) is None


def test_a_model_is_not_asked_what_it_cannot_see_whole():
    gateway = Gateway("yes")
    judge = ModelJudge(gateway, RequestIds(bytes(16)), "small")
    assert wrong(judge, fresh="x" * 8000 + "Paris", cached="x" * 8000 + "Lyon") is None
    assert asyncio.run(judge.wrong(Doubt("acme", "", completion("Paris"), completion("Lyon")))) is None
    assert not gateway.asked


@pytest.mark.parametrize(
    ("said", "verdict"),
    [("Yes", False), (" yes.", False), ("NO", True), ("Perhaps", None), (UnavailableError("away"), None)],
)
def test_a_model_is_asked_for_one_word(said, verdict):
    gateway = Gateway(said)
    assert wrong(ModelJudge(gateway, RequestIds(bytes(16)), "small")) is verdict
    ((chat, tenant, request_id),) = gateway.asked
    assert (chat.model, tenant, chat.options.app, request_id[:5]) == ("small", "acme", "cache-audit", "chat_")
    assert chat.messages[1].content == "Request:\nThe capital?\n\nA:\nParis.\n\nB:\nLyon."


def test_a_model_sees_only_what_is_allowed_to_it():
    judge = ModelJudge(Gateway("yes"), RequestIds(bytes(16)), "small")
    assert judge.may_see(None)
    assert judge.may_see(["large", "small"])
    assert not judge.may_see(["large"])
    assert EqualAnswers().may_see([])


@pytest.mark.parametrize(
    ("body", "allowed"),
    [
        ({"model": "beast"}, None),
        ({"model": "beast", "beast": {"candidates": ["large"]}}, ["large"]),
        ({"model": "large", "beast": {"candidates": ["small"]}}, ("large",)),
    ],
)
def test_a_request_says_which_models_may_see_it(body, allowed):
    raw = msgspec.json.encode({"messages": [{"role": "user", "content": "how?"}], **body})
    assert decode_chat(raw).allowed_models == allowed
