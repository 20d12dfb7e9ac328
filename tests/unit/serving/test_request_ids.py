import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.errors import InputError
from beast_ml.serving.request_ids import RequestIds, was_called_here

IDS = RequestIds(b"k" * 32)


@given(st.text())
def test_an_id_is_its_tenants(tenant):
    request_id = IDS.issue(tenant)
    assert IDS.check(request_id, tenant) == request_id


@given(st.text())
def test_an_id_is_of_its_kind(tenant):
    request_id = IDS.issue(tenant, "chat")
    assert was_called_here(IDS.check(request_id, tenant))
    assert not was_called_here(IDS.issue(tenant))
    with pytest.raises(InputError):
        IDS.check(request_id.replace("chat_", "req_"), tenant)


@given(st.text(), st.text())
def test_no_tenant_can_name_anothers_request(one, other):
    if one != other:
        with pytest.raises(InputError, match="no request"):
            IDS.check(IDS.issue(one), other)


@given(st.text())
def test_what_is_no_id_is_refused(text):
    with pytest.raises(InputError, match="no request"):
        IDS.check(text, "acme")


@given(st.integers(0, 43), st.sampled_from("0123456789abcdefg"))
def test_a_changed_id_is_refused(position, character):
    request_id = IDS.issue("acme")
    changed = request_id[:position] + character + request_id[position + 1 :]
    if changed != request_id:
        with pytest.raises(InputError):
            IDS.check(changed, "acme")


def test_ids_sort_by_time_and_differ():
    ids = [IDS.issue("acme") for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert [each[:16] for each in ids] == sorted(each[:16] for each in ids)


def test_another_secret_issues_other_ids():
    with pytest.raises(InputError):
        RequestIds(b"x" * 32).check(IDS.issue("acme"), "acme")
    with pytest.raises(InputError, match="5 bytes"):
        RequestIds(b"short")
