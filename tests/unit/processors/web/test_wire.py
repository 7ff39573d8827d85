"""Connections: only to addresses that may be connected to, whatever a name says."""

import httpcore
import pytest
from support.site import Site

from datamcp.clock import SystemClock
from datamcp.errors import ProcessingError
from datamcp.processors.web.wire import Wire, addresses_of


def wire(*addresses: str, trusted: tuple[str, int] | None = None) -> Wire:
    """Return a wire on which every name has these addresses."""
    made = Wire(clock=SystemClock(), trusted=trusted, resolve=lambda _host, _port: addresses)
    made.allow(5)
    return made


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001"),
        *("0", "::1", "::ffff:127.0.0.1", "[::1]"),
    ],
)
def test_no_name_and_no_number_leads_to_this_machine(host: str, site: Site) -> None:
    """What the system makes of a host's name is judged, in whatever form it was written."""
    it = Wire(clock=SystemClock(), trusted=None)
    it.allow(5)
    with pytest.raises((ProcessingError, httpcore.ConnectError)) as caught:
        it.connect_tcp(host, site.server.server_port)
    if isinstance(caught.value, ProcessingError):
        assert "refused to connect" in str(caught.value)


def test_a_name_is_refused_if_any_of_its_addresses_is_private() -> None:
    """A name with a public and a private address is no way in."""
    with pytest.raises(ProcessingError, match=r"mixed\.example \(10\.0\.0\.1\): a private address"):
        wire("8.8.8.8", "10.0.0.1").connect_tcp("mixed.example", 80)


def test_a_name_that_changes_its_address_is_judged_each_time(site: Site) -> None:
    """The address that was looked up is the one that is connected to: there is no second look."""
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    it = Wire(
        clock=SystemClock(),
        trusted=None,
        resolve=lambda _host, _port: next(answers),
    )
    it.allow(5)
    for reason in ("loopback", "metadata"):
        with pytest.raises(ProcessingError, match=reason):
            it.connect_tcp("rebinding.example", site.server.server_port)


def test_who_is_trusted_may_be_private_at_that_port_only(site: Site) -> None:
    """An integration's own host is connected to; another port of it is another server."""
    port = site.server.server_port
    it = wire("127.0.0.1", trusted=("crm.internal", port))
    it.connect_tcp("crm.internal", port).close()
    for host, other in (("crm.internal", port + 1), ("other.internal", port)):
        with pytest.raises(ProcessingError, match="loopback"):
            it.connect_tcp(host, other)


def test_the_next_address_is_tried(site: Site) -> None:
    """A host of which one address does not answer is reached at another."""
    port = site.server.server_port
    wire("127.0.0.2", "127.0.0.1", trusted=("a", port)).connect_tcp("a", port).close()


def test_no_name_of_a_host() -> None:
    """A label that is too long for a name is an error of the input, one without address is not."""
    it = Wire(clock=SystemClock(), trusted=None)
    it.allow(5)
    with pytest.raises(ProcessingError, match="is no name of a host"):
        it.connect_tcp("a" * 70 + ".example", 80)
    with pytest.raises(httpcore.ConnectError, match="no address"):
        wire().connect_tcp("nothing.example", 80)


def test_when_the_time_is_over_nothing_is_begun(site: Site) -> None:
    """The deadline holds for connecting, reading and writing."""
    port = site.server.server_port
    it = wire("127.0.0.1", trusted=("a", port))
    stream = it.connect_tcp("a", port)
    it.allow(0)
    with pytest.raises(httpcore.ConnectTimeout):
        it.connect_tcp("a", port)
    with pytest.raises(httpcore.ReadTimeout):
        stream.read(1)
    with pytest.raises(httpcore.WriteTimeout):
        stream.write(b"x")
    stream.close()


def test_the_system_knows_this_machine() -> None:
    """Names are looked up as every program does."""
    assert addresses_of("127.0.0.1", 80) == ["127.0.0.1"]
