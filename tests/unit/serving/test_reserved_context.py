"""Keys of a context that only the server writes."""

import msgspec
import pytest

from beast_ml.experiments.assignment import shadow_context
from beast_ml.serving.gateway.chat_request import RoutingOptions
from beast_ml.serving.payloads import RouteRequest
from beast_ml.serving.reserved_context import RESERVED_KEYS


@pytest.mark.parametrize("key", sorted(RESERVED_KEYS))
@pytest.mark.parametrize(("kind", "body"), [(RouteRequest, {"prompt": "hello"}), (RoutingOptions, {})])
def test_a_client_cannot_speak_in_the_servers_name(kind, body, key):
    with pytest.raises(msgspec.ValidationError, match=f"`context` has `{key}`, which the server itself writes"):
        msgspec.convert(body | {"context": {"task": "code", key: "large-us"}}, kind)


def test_what_a_shadow_notes_is_reserved():
    assert shadow_context("small", 0.5, "v1").keys() < RESERVED_KEYS


def test_other_keys_are_the_clients():
    assert msgspec.convert({"prompt": "a", "context": {"task": "code"}}, RouteRequest).context == {"task": "code"}
