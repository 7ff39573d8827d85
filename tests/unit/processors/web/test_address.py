"""Which addresses are public."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.processors.web.address import refusal

PRIVATE = {
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "0.0.0.0": "no address of a host",  # noqa: S104  nothing is bound to it
    "0.1.2.3": "private",
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "100.64.0.1": "reserved",
    "169.254.1.1": "link-local",
    "169.254.169.254": "metadata",
    "169.254.170.2": "metadata",
    "100.100.100.200": "metadata",
    "168.63.129.16": "metadata",
    "192.0.0.192": "metadata",
    "192.0.0.1": "private",
    "192.0.2.1": "private",
    "192.88.99.1": "reserved",
    "198.18.0.1": "private",
    "198.51.100.1": "private",
    "203.0.113.1": "private",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "240.0.0.1": "private",
    "255.255.255.255": "private",
    "::": "no address of a host",
    "::1": "loopback",
    "::127.0.0.1": "reserved",
    "::8.8.8.8": "reserved",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:7f00:1": "loopback",
    "::ffff:10.0.0.1": "private",
    "::ffff:169.254.169.254": "metadata",
    "64:ff9b::127.0.0.1": "loopback",
    "64:ff9b::a9fe:a9fe": "metadata",
    "64:ff9b:1::808:808": "",  # a network's own NAT64
    "100::1": "",
    "2001::1": "",  # Teredo
    "2001:db8::1": "",
    "2002:7f00:1::": "loopback",
    "2002:c0a8:101::1": "private",
    "fc00::1": "private",
    "fd00:ec2::254": "metadata",
    "fd12:3456:789a::1": "private",
    "fe80::1": "link-local",
    "fe80::1%lo": "link-local",
    "fec0::1": "",
    "ff02::1": "multicast",
    "2130706433": "no IP address",
    "0177.0.0.1": "no IP address",
    "127.1": "no IP address",
    "0x7f000001": "no IP address",
    "localhost": "no IP address",
    "": "no IP address",
}


@pytest.mark.parametrize(("address", "reason"), PRIVATE.items())
def test_what_is_not_public_is_refused_with_its_reason(address: str, reason: str) -> None:
    """Loopback, private, link-local, multicast, metadata, and their disguises are told."""
    assert refusal(address)
    assert reason in refusal(address)


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "172.32.0.1",
        "172.15.255.255",
        "100.63.255.255",
        "2606:4700:4700::1111",
        "2a00:1450:4001:81b::200e",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ],
)
def test_public_addresses_may_be_connected_to(address: str) -> None:
    """What the internet can reach is not refused, however it is written."""
    assert refusal(address) == ""


@given(st.ip_addresses(v=4))
def test_an_address_of_ipv4_is_judged_alike_in_ipv6(address: IPv4Address) -> None:
    """A mapped address and one behind NAT64 are no way around."""
    mapped = f"::ffff:{address}"
    behind = IPv6Address(int(IPv6Address("64:ff9b::")) + int(address))
    assert refusal(mapped) == refusal(str(behind)) == refusal(str(address))


@given(st.ip_addresses())
def test_nothing_that_is_not_global_is_let_through(address: IPv4Address | IPv6Address) -> None:
    """Whatever the standard library knows to be private is refused, or judged by what it holds."""
    holds_another = isinstance(address, IPv6Address) and (
        address.ipv4_mapped or address in IPv6Network("64:ff9b::/96") or address.sixtofour
    )
    if not holds_another and (not address.is_global or address.is_multicast):
        assert refusal(str(address))
