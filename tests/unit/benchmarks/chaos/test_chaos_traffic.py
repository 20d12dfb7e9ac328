import msgspec
import numpy as np
import pytest

from beast_ml.benchmarks.chaos.traffic import TENANTS, TIGHT, AnswerFile, Ask, asks, reply_of
from beast_ml.benchmarks.serving.load_plan import CLOSED, Answered

BASE = ["what is a whale?", "what is a king?"]


def answered(content, n=0, status=200, head="", **told):
    body = {"choices": [{"message": {"content": content}}], **told}
    return Answered(n, 1.0, 2.0, status, f"HTTP/1.1 {status} OK\r\n{head}", msgspec.json.encode(body).decode())


def test_tenants_ask_in_turn_and_share_some_prompts():
    found = list(asks(BASE, 3_000, np.random.default_rng(0)))
    assert [ask.tenant for ask in found[:4]] == [*TENANTS, TENANTS[0]]
    of = {tenant: {ask.prompt for ask in found if ask.tenant == tenant} for tenant in TENANTS}
    shared = of[TENANTS[0]] & of[TENANTS[1]]
    assert shared
    assert all(prompt.startswith("Shared") for prompt in shared)
    assert len(set().union(*of.values()) - shared) > 1_500


def test_a_reply_tells_who_answered_what_under_which_id():
    ask = Ask("acme", "what is a whale?")
    told = "x-beast-request-id: r1\r\nX-Beast-Cache: hit\r\nx-beast-cache-kind: exact"
    reply = reply_of(ask, answered("call 17: what is a whale?", head=told))
    assert (reply.request_id, reply.call, reply.echoed) == ("r1", 17, ask.prompt)
    assert (reply.cache, reply.kind) == ("hit", "exact")
    assert reply.is_answered


def test_what_ended_without_an_answer_or_with_a_problem_is_read_too():
    closed = reply_of(Ask("acme", "?"), Answered(0, 1.0, 2.0, CLOSED))
    assert (closed.request_id, closed.call, closed.is_as_wanted) == ("", None, False)
    body = msgspec.json.encode({"kind": "unavailable", "request_id": "r2"}).decode()
    refused = reply_of(Ask("acme", "?"), Answered(0, 1.0, 2.0, 503, "HTTP/1.1 503 Unavailable", body))
    assert (refused.request_id, refused.kind) == ("r2", "unavailable")


@pytest.mark.parametrize(("tenant", "wanted"), [(TIGHT, True), ("acme", False)])
def test_only_the_tight_tenant_ought_to_be_refused_for_its_budget(tenant, wanted):
    assert reply_of(Ask(tenant, "?"), Answered(0, 1.0, 2.0, 402)).is_as_wanted is wanted


def test_answers_are_read_as_they_come_and_a_line_that_is_being_written_waits(tmp_path):
    asked = [Ask("acme", "a"), Ask("bolt", "b")]
    file = AnswerFile(tmp_path / "answers.jsonl", asked)
    assert file.look() == []
    lines = [msgspec.json.encode(answered(f"call {n}: x", n=n)) for n in range(3)]
    with (tmp_path / "answers.jsonl").open("ab", buffering=0) as out:
        out.write(lines[0] + b"\n" + lines[1][:20])
        assert [reply.ask.tenant for reply in file.look()] == ["acme"]
        out.write(lines[1][20:] + b"\n" + lines[2] + b"\n")
        assert [reply.ask.tenant for reply in file.look()] == ["bolt", "acme"]
    assert [reply.call for reply in file.replies] == [0, 1, 2]
