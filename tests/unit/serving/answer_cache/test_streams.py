"""A completion told as a stream and put together again is the same completion."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.serving.answer_cache.streams import assembled, replayed
from beast_ml.serving.gateway.sse import DONE, EventSplitter, data_event, event_data

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=900)


def completion(message, finish="stop", **more):
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "logprobs": None}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 7, "model": "m"}
    return {**head, "choices": [{**choice, "finish_reason": finish}], **more}


def chunk(delta, finish=None, **more):
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "m"}
    return data_event(msgspec.json.encode({**head, "choices": [choice], **more}))


@given(
    st.fixed_dictionaries({"content": TEXT}, optional={"reasoning_content": TEXT, "refusal": TEXT}),
    st.sampled_from(["stop", "content_filter"]),
    st.fixed_dictionaries({}, optional={"usage": st.just({"prompt_tokens": 1}), "system_fingerprint": st.just("fp")}),
)
def test_there_and_back(message, finish, more):
    body = completion(message, finish, **more)
    events = list(replayed(msgspec.json.encode(body), wants_usage=True))
    assert list(EventSplitter().feed(b"".join(events))) == events
    assert event_data(events[-1]) == DONE
    assert msgspec.json.decode(assembled(events)) == body


def test_usage_is_told_to_those_who_ask_and_last():
    body = msgspec.json.encode(completion({"content": "four"}, usage={"prompt_tokens": 3}))
    asked = [msgspec.json.decode(event_data(event)) for event in list(replayed(body, wants_usage=True))[:-1]]
    assert (asked[-1]["choices"], asked[-1]["usage"]) == ([], {"prompt_tokens": 3})
    assert all(event["usage"] is None for event in asked[:-1])
    plain = [msgspec.json.decode(event_data(event)) for event in list(replayed(body, wants_usage=False))[:-1]]
    assert all("usage" not in event and event["choices"] for event in plain)


def test_log_probabilities_are_kept_in_their_order():
    tokens = [{"token": each, "logprob": -0.1} for each in "abc"]
    events = []
    for token in tokens:
        event = msgspec.json.decode(event_data(chunk({"content": token["token"]})))
        event["choices"][0]["logprobs"] = {"content": [token], "refusal": None}
        events.append(data_event(msgspec.json.encode(event)))
    body = msgspec.json.decode(assembled([*events, chunk({}, "stop")]))
    assert body["choices"][0]["logprobs"] == {"content": tokens, "refusal": None}


def test_comments_and_padding_leave_no_trace():
    events = [b": keep-alive\n\n", chunk({"content": "a"}, obfuscation="xyz"), chunk({}, "stop"), data_event(DONE)]
    assert msgspec.json.decode(assembled(events)) == completion({"content": "a"})


def test_what_cannot_be_put_together_is_not_kept():
    assert assembled([chunk({"tool_calls": [{"index": 0}]}, "tool_calls")]) is None
    assert assembled([chunk({"audio": {"data": "x"}}, "stop")]) is None
    second = msgspec.json.decode(event_data(chunk({"content": "b"}, "stop")))
    second["choices"][0]["index"] = 1
    assert assembled([chunk({"content": "a"}, "stop"), data_event(msgspec.json.encode(second))]) is None
