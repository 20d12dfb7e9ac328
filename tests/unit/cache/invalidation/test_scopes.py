import pytest

from beast_ml.cache.invalidation.scopes import Scope, scope_names
from beast_ml.errors import InputError
from beast_ml.testing.invalidation_conformance import entry_for, key_for

ENTRY = entry_for(key_for("hi"), 0, "e1", tags=("prices", "acme"), documents=("d1",), model="big", policy_version="v7")


@pytest.mark.parametrize(
    "scope",
    [
        Scope("entry", "e1"),
        Scope("tenant", "acme"),
        Scope("partition", b"p".hex()),
        Scope("tag", "prices"),
        Scope("tag", "prices", "acme"),
        Scope("model", "big"),
        Scope("model", "big", "acme"),
        Scope("policy_version", "v7"),
        Scope("policy_version", "v7", "acme"),
        Scope("document", "d1"),
        Scope("document", "d1", "acme"),
    ],
)
def test_an_entry_is_in_the_scopes_that_name_it(scope):
    assert scope.name in scope_names(ENTRY)


@pytest.mark.parametrize(
    "scope",
    [
        Scope("entry", "acme"),
        Scope("tenant", "prices"),
        Scope("tag", "d1"),
        Scope("tag", "prices", "other"),
        Scope("model", "v7"),
        Scope("policy_version", "big"),
        Scope("document", "prices"),
        Scope("all"),
    ],
)
def test_an_entry_is_in_no_other(scope):
    assert scope.name not in scope_names(ENTRY)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("colour", "red"), "must be one of"),
        (("all", "x"), "needs no value"),
        (("tag", ""), "needs a value"),
        (("tag", "x" * 513), "1 to 512"),
        (("entry", "x", "acme"), "cannot be restricted"),
        (("tag", "a\x1fb"), "control character"),
        (("tag", "a", "\x00"), "control character"),
        (("tag", "\ud800"), "control character"),
    ],
)
def test_says_what_is_no_scope(arguments, message):
    with pytest.raises(InputError, match=message):
        Scope(*arguments)
