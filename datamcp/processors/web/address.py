"""Which addresses may be connected to: those of the public internet, and no other. Pure.

An address that holds one of IPv4 is judged by that: mapped (RFC 4291), behind NAT64 (RFC 6052) or
of 6to4 (RFC 3056). The services that tell a cloud's machines their credentials are at link-local
and private addresses, and at a few that look public.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

_METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google, and others
        "169.254.170.2",  # AWS, of containers
        "fd00:ec2::254",  # AWS
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "168.63.129.16",  # Azure, of the host; it looks public
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_NEVER_PUBLIC = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # shared by customers of a provider
        "192.0.0.0/24",
        "192.88.99.0/24",  # the gateway to 6to4
        "198.18.0.0/15",  # of benchmarks
        "240.0.0.0/4",
        "::/96",  # IPv4, written in the oldest way
        "64:ff9b:1::/48",  # NAT64 of a network's own
        "100::/64",
        "2001::/23",  # Teredo, and others that are no hosts
        "fec0::/10",  # once site-local
    )
)


def refusal(address: str) -> str:
    """Return why nothing may be connected to at an address; '' for one of the public internet."""
    try:
        found = ip_address(address)
    except ValueError:
        return "no IP address"
    return _refusal(_meant(found))


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that one of IPv6 stands for, if it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _refusal(address: IPv4Address | IPv6Address) -> str:
    if address in _METADATA:
        return "the metadata service of a cloud"
    if address.is_unspecified:
        return "no address of a host"
    if address.is_loopback:
        return "a loopback address"
    if address.is_link_local:
        return "a link-local address"
    if address.is_multicast:
        return "a multicast address"
    if address.is_private:
        return "a private address"
    is_listed = any(
        address in network for network in _NEVER_PUBLIC if network.version == address.version
    )
    return "a reserved address" if is_listed or not address.is_global else ""
