import pytest

from beast_ml.errors import InputError
from beast_ml.serving.payloads import Message
from beast_ml.serving.prompts import PromptPrivacy, estimated_tokens, routed_text

SECRET = b"s" * 43


def test_what_the_user_said_last_is_routed():
    messages = [
        Message("system", "be brief"),
        Message("user", "one"),
        Message("assistant", "1"),
        Message("user", "two"),
    ]
    assert routed_text(messages) == "two"


def test_text_parts_are_read_and_pictures_passed_over():
    content = [
        {"type": "text", "text": "what is"},
        {"type": "image_url", "image_url": {}},
        {"type": "text", "text": "this"},
    ]
    assert routed_text([Message("user", content)]) == "what is\nthis"


def test_without_a_user_all_that_was_said_is_routed():
    assert routed_text([Message("system", "a"), Message("assistant", "b")]) == "a\n\nb"


def test_messages_without_text_are_refused():
    with pytest.raises(InputError, match="no text"):
        routed_text([Message("user", None)])


def test_a_prompt_is_kept_hashed_or_withheld_as_its_tenant_wants():
    privacy = PromptPrivacy("keep", {"b": "hash", "c": "withhold"}, SECRET)
    assert privacy.kept("a", "text") == ("text", None)
    text, hashed = privacy.kept("b", "text")
    assert text is None
    assert len(hashed) == 32
    assert privacy.kept("c", "text") == (None, None)


def test_hashes_tell_equal_texts_of_one_tenant_only():
    privacy = PromptPrivacy("hash", {}, SECRET)
    assert privacy.kept("a", "text") == privacy.kept("a", "text")
    assert privacy.kept("a", "text") != privacy.kept("b", "text")
    assert privacy.kept("a", "text") != PromptPrivacy("hash", {}, b"x" * 43).kept("a", "text")


def test_tokens_are_estimated_from_characters():
    assert [estimated_tokens(n) for n in (0, 4, 400)] == [1, 2, 101]
