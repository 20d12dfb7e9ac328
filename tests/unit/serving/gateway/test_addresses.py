import asyncio
import socket

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beast_ml.serving.gateway.addresses import allowed
from beast_ml.serving.gateway.transport import Patience, ProviderTransport, origin_of, request_head


def resolved(*addresses):
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in addresses]


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.170.2",
        "::ffff:169.254.169.254",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "100.100.100.200",
        "0.0.0.0",  # noqa: S104  nothing is bound to it
        "::",
        "224.0.0.1",
        "ff02::1",
    ],
)
@pytest.mark.parametrize("in_clear_with_key", [True, False])
def test_what_only_this_machine_may_ask_is_never_called(address, in_clear_with_key):
    with pytest.raises(httpx2.ConnectError, match=r"'models.internal' may not be called: .* mend `base_url`"):
        allowed(resolved(address), "models.internal", in_clear_with_key=in_clear_with_key)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.7", "172.20.1.1", "192.168.1.5", "fd12::7"])
def test_private_networks_may_be_called_in_clear(address):
    assert allowed(resolved(address), "vllm", in_clear_with_key=True) == resolved(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "::ffff:8.8.8.8", "2606:4700::1111"])
def test_a_key_goes_over_the_internet_only_encrypted(address):
    assert allowed(resolved(address), "api.example.com", in_clear_with_key=False) == resolved(address)
    with pytest.raises(httpx2.ConnectError, match="on the internet, and keys are sent there by https:// only"):
        allowed(resolved(address), "api.example.com", in_clear_with_key=True)


def test_of_several_addresses_those_that_may_be_called_are_left():
    assert allowed(resolved("169.254.169.254", "10.0.0.7"), "a", in_clear_with_key=True) == resolved("10.0.0.7")


@given(st.ip_addresses(), st.booleans())
def test_whatever_is_called_is_neither_link_local_nor_in_clear_on_the_internet(address, in_clear_with_key):
    try:
        (kept,) = allowed(resolved(str(address)), "a", in_clear_with_key=in_clear_with_key)
    except httpx2.ConnectError:
        return
    assert kept[4][0] == str(address)
    assert not address.is_link_local
    assert not (in_clear_with_key and address.is_global and getattr(address, "ipv4_mapped", None) is None)


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/latest/meta-data/", "http://2852039166/", "http://0xa9fea9fe/"]
)
def test_a_name_is_judged_by_what_it_resolves_to(url):
    async def call():
        transport = ProviderTransport()
        try:
            named = httpx2.URL(url)
            await transport.send(
                origin_of(named, has_key=False), request_head("GET", named, []), b"", Patience(2.0, 2.0)
            )
        finally:
            await transport.aclose()

    with pytest.raises(httpx2.ConnectError, match=r"169\.254\.169\.254 is no address of a provider"):
        asyncio.run(call())
