import pytest

from beast_ml.errors import InputError
from beast_ml.registry.model_uri import ModelUri


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("models:/beast-router@champion", ModelUri("beast-router", alias="champion")),
        ("models:/beast-router/12", ModelUri("beast-router", version=12)),
    ],
)
def test_addresses_round_trip(text, expected):
    assert ModelUri.parse(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    "text",
    ["", "beast-router", "models:/beast-router", "models:/beast-router/0", "models:/beast-router/latest/x",
     "models:/beast-router@", "models:/a b@c", "models:/x@y\n", "runs:/abc/model"],
)  # fmt: skip
def test_anything_else_is_refused_with_two_examples(text):
    with pytest.raises(InputError, match=r"models:/beast-router@champion or models:/beast-router/3"):
        ModelUri.parse(text)
