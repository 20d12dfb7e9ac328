from datetime import UTC, datetime, timedelta

import pytest

from beast_ml.errors import InputError
from beast_ml.operations.keys.key import ApiKey, check_name, check_tenant, id_in, new_key

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_keys_are_random_and_carry_their_id():
    (first_id, first), (second_id, second) = new_key(), new_key()
    assert first != second
    assert first_id != second_id
    assert first.startswith(f"bst_{first_id}_")
    assert len(first) == len("bst_") + 12 + 1 + 48
    assert id_in(first) == first_id == id_in(first_id)


@pytest.mark.parametrize("tenant", ["acme", "a", "team.eu-1", "7up", "x" * 64, "me@example.com"])
def test_tenants_that_can_be(tenant):
    assert check_tenant(tenant) == tenant


@pytest.mark.parametrize("tenant", ["", "*", "a/b", "-a", "a b", "a\n", "x" * 65, "ä", "../etc", "a{}"])
def test_tenants_that_budgets_or_files_would_misread_are_refused(tenant):
    with pytest.raises(InputError, match="must be 1 to 64 letters"):
        check_tenant(tenant)


@pytest.mark.parametrize("name", ["x" * 101, "a\x1b[31m", "a\nb"])
def test_names_that_cannot_be_shown_are_refused(name):
    with pytest.raises(InputError, match="printable"):
        check_name(name)


def test_a_key_is_active_until_it_expires_or_is_revoked():
    key = ApiKey("a", b"", "acme", "", NOW)
    assert key.state(NOW + timedelta(days=9999)) == "active"
    ending = ApiKey("a", b"", "acme", "", NOW, expires_at=NOW + timedelta(days=1))
    assert ending.state(NOW) == "active"
    assert ending.state(NOW + timedelta(days=1)) == "expired"
    assert ApiKey("a", b"", "acme", "", NOW, revoked_at=NOW).state(NOW) == "revoked"
