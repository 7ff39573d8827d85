import socket
from collections.abc import Iterator

import pytest

from datamcp.errors import ConfigError
from datamcp.stack import ports

EVERYWHERE = "0.0.0.0"  # noqa: S104  nobody listens there for long


@pytest.fixture
def taken() -> Iterator[int]:
    """Have a port on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_takes_the_port_asked_for_if_it_is_free(taken: int) -> None:
    """Else any other, unless somebody has chosen that one."""
    other = ports.choose("127.0.0.1", taken, is_fixed=False)
    assert other != taken
    assert ports.choose("127.0.0.1", other, is_fixed=True) == other
    with pytest.raises(ConfigError, match=rf"flower_port: port {taken} of 127\.0\.0\.1 is taken"):
        ports.choose("127.0.0.1", taken, is_fixed=True)


def test_port_0_is_any_that_is_free() -> None:
    """Also where all addresses are meant."""
    assert ports.choose("127.0.0.1", 0, is_fixed=True) > 0
    assert ports.choose(EVERYWHERE, 0, is_fixed=True) > 0


def test_refuses_an_address_that_is_not_ours() -> None:
    """In a line that names the setting."""
    with pytest.raises(ConfigError, match=r"flower_address: cannot listen on '192\.0\.2\.1'"):
        ports.choose("192.0.2.1", 5555, is_fixed=False)


def test_tells_whether_somebody_listens(taken: int) -> None:
    """All addresses of this machine are reached at its own."""
    assert ports.answers("127.0.0.1", taken)
    assert ports.answers(EVERYWHERE, taken)
    assert not ports.answers("127.0.0.1", ports.choose("127.0.0.1", 0, is_fixed=False))


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:5555"),
        (EVERYWHERE, "http://127.0.0.1:5555"),
        ("::1", "http://[::1]:5555"),
        ("localhost", "http://localhost:5555"),
    ],
)
def test_says_what_to_type_into_a_browser(address: str, url: str) -> None:
    """An address that means all of them can't be typed."""
    assert ports.url(address, 5555) == url
