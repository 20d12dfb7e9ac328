import msgspec
import pytest

from beast_ml.errors import InputError
from beast_ml.serving.gateway.chat_request import decode_chat, outgoing_body, unbounded

HELLO = {"model": "beast", "messages": [{"role": "user", "content": "hello"}]}


def decoded(**more):
    return decode_chat(msgspec.json.encode(HELLO | more))


def sent(cap=None, field="max_tokens", **more):
    return msgspec.json.decode(outgoing_body(decoded(**more), "theirs", cap, field))


def test_what_is_not_ours_is_sent_on_as_it_is():
    weird = {"top_p": 0.1, "seed": 10**18, "x": {"y": [None, "é", 1e-300]}, "user": "ann"}
    assert sent(**weird, beast={"app": "a"}) == HELLO | weird | {"model": "theirs"}


def test_streams_are_asked_for_their_usage():
    assert sent(stream=True)["stream_options"] == {"include_usage": True}
    options = {"include_usage": False, "include_obfuscation": False}
    assert sent(stream=True, stream_options=options)["stream_options"] == options | {"include_usage": True}
    assert sent(stream=True, stream_options=None)["stream_options"] == {"include_usage": True}
    assert "stream_options" not in sent()


def test_a_cap_takes_the_field_that_the_client_used():
    assert sent(5)["max_tokens"] == 5
    assert sent(5, "max_completion_tokens")["max_completion_tokens"] == 5
    assert sent(5, max_completion_tokens=9)["max_completion_tokens"] == 5
    assert "max_tokens" not in sent(5, max_completion_tokens=9)
    assert sent(5, max_completion_tokens=None)["max_tokens"] == 5
    with pytest.raises(InputError, match="give one"):
        decoded(max_tokens=1, max_completion_tokens=2)


def test_what_is_needed_is_seen():
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]
    asked = decoded(tools=[{"type": "function"}], response_format={"type": "json_schema"}, messages=image)
    assert asked.needs == {"tools", "json", "vision"}
    assert decoded(tools=[], response_format={"type": "text"}).needs == frozenset()
    assert decoded(user="ann").options.user_id == "ann"
    assert decoded(user="ann", beast={"user_id": "bob"}).options.user_id == "bob"


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"service_tier": "priority"}, "`service_tier` == 'priority'"),
        ({"web_search_options": {}}, "`web_search_options`"),
        ({"prediction": {"type": "content", "content": "x"}}, "`prediction`"),
        ({"modalities": ["text", "audio"]}, "`modalities`"),
        ({"audio": {"voice": "a"}}, "`audio`"),
        ({"unheard_of": 1}, "`unheard_of`"),
        ({"tools": [{"type": "web_search"}]}, "a tool of type 'web_search'"),
        ({"tools": [7]}, "a tool of type 'None'"),
        ({"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, "`audio` of a message"),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]}, "a part of type 'file'"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "a part of type 'input_audio'"),
        ({"messages": [{"role": "user", "content": [{"type": ["x"]}]}]}, "a part of type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {}}]}]},
            "`cache_control` of a part",
        ),
    ],
)
def test_what_has_no_bound_is_named(more, named):
    assert any(each.startswith(named) for each in unbounded(decoded(**more)))


def test_what_has_a_bound_is_not_named():
    picture = {"type": "image_url", "image_url": {"url": "x", "detail": "high"}}
    content = [{"type": "text", "text": "what is it?"}, picture]
    assert unbounded(decoded()) == []
    assert (
        unbounded(
            decoded(
                messages=[
                    {"role": "user", "content": content, "name": "ann"},
                    {"role": "assistant", "content": None, "audio": None, "tool_calls": [{"id": "1"}]},
                ],
                tools=[{"type": "function", "function": {"name": "f"}}],
                n=2,
                service_tier="flex",
                modalities=["text"],
                prediction=None,
                temperature=0.5,
                beast={"app": "a"},
            )
        )
        == []
    )
