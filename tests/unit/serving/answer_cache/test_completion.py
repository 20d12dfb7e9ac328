"""Which answers are fit for others, and what is kept of errors."""

import json

import pytest

from beast_ml.serving.answer_cache.completion import KeptError, kept_error, kind_of_completion, read_kept_error


def body(message, finish="stop", **more):
    return json.dumps({"choices": [{"message": message, "finish_reason": finish}], **more}).encode()


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (body({"content": "four"}), "answer"),
        (body({"content": "four", "tool_calls": []}), "answer"),
        (body({"content": None, "refusal": "I cannot help with that."}), "refusal"),
        (body({"content": "As"}, "content_filter"), "refusal"),
        (body({"content": "fo"}, "length"), None),
        (body({"content": "four"}, None), None),
        (body({"content": " "}), None),
        (body({"content": None, "tool_calls": [{"id": "1"}]}, "tool_calls"), None),
        (body({"content": "four", "tool_calls": [{"id": "1"}]}), None),
        (body({"content": "four", "audio": {"data": ""}}), None),
        (body({"content": "four"}, error={"message": "no"}), None),
        (b'{"choices": []}', None),
        (b'{"choices": [{"message": {}}, {"message": {}}]}', None),
        (b"no JSON", None),
        (b"\xff", None),
        (body({"content": "four " * 300_000}), None),
    ],
)
def test_only_whole_answers_and_refusals_are_kept(made, kind):
    assert kind_of_completion(made) == kind


def test_an_error_is_told_from_a_completion():
    error = KeptError("content_filter", "no")
    assert read_kept_error(kept_error(error)) == error
    assert read_kept_error(body({"content": "!"})) is None
