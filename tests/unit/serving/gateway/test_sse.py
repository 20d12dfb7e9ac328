from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.serving.gateway.accounting import Usage
from beast_ml.serving.gateway.sse import ChunkReader, EventSplitter

STREAM = (
    b'data: {"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}\n\n'
    b": a comment\n\n"
    b'data: {"choices":[{"delta":{"content":"caf\xc3\xa9"},"finish_reason":null}]}\n\n'
    b'event: x\ndata: {"choices":[{"delta":{"tool_calls":[{"index":0}]},\ndata: "finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}\n\n'
    b"data: [DONE]\n\n"
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12), st.booleans())
def test_events_are_the_same_wherever_the_network_cuts(cuts, carriage_returns):
    splitter, events = EventSplitter(), []
    edges = [0, *sorted(cuts), len(STREAM)]
    for start, end in pairwise(edges):
        events += splitter.feed(STREAM[start:end])
    assert events == [part + b"\n\n" for part in STREAM.split(b"\n\n")[:-1]]
    if carriage_returns:
        events = list(EventSplitter().feed(STREAM.replace(b"\n", b"\r\n")))
        assert events == [part + b"\n\n" for part in STREAM.split(b"\n\n")[:-1]]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_line_ends_of_two_bytes_may_be_cut_in_the_middle(size):
    stream, splitter, events = STREAM.replace(b"\n", b"\r\n"), EventSplitter(), []
    for start in range(0, len(stream), size):
        events += splitter.feed(stream[start : start + size])
    assert [event.replace(b"\r", b"") for event in events] == [part + b"\n\n" for part in STREAM.split(b"\n\n")[:-1]]


def test_events_are_read_as_far_as_needed():
    reader = ChunkReader()
    first, comment, text, tool, usage, done = (reader.read(event) for event in EventSplitter().feed(STREAM))
    assert (first.n_characters, first.usage, first.only_usage) == (0, None, False)
    assert comment == type(comment)()
    assert text.n_characters == 4
    assert tool.finished
    assert tool.n_characters > 0
    assert usage.only_usage
    assert usage.usage == Usage(3, 5)
    assert done.done


def test_errors_in_streams_are_seen():
    assert ChunkReader().read(b'data: {"error":{"message":"gone"}}\n\n').error == b'{"error":{"message":"gone"}}'
    with pytest.raises(msgspec.DecodeError):
        ChunkReader().read(b"data: {no JSON\n\n")


def test_an_event_without_an_end_is_not_kept_for_ever():
    splitter = EventSplitter()
    assert list(splitter.feed(b"x" * (8 << 20))) == []
    with pytest.raises(ValueError, match="longer"):
        list(splitter.feed(b"x"))
