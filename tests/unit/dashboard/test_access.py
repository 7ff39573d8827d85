import pytest

from datamcp.config.system import Environment
from datamcp.dashboard.access import Door, is_loopback, is_own_request, require_login
from datamcp.errors import ConfigError

EVERYWHERE = list(Environment)
ALL = "0.0.0.0"  # noqa: S104  nobody listens here


def door(address: str = "127.0.0.1", *, is_socket: bool = False, has_login: bool = False) -> Door:
    """Return where Flower listens."""
    return Door(address, is_socket=is_socket, has_login=has_login)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_some_addresses_are_this_machine_s_alone(address: str) -> None:
    """The loopback network, and the name that it always has."""
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["", ALL, "::", "10.0.0.1", "flower.example.com", "*"])
def test_any_other_address_may_be_reached_from_elsewhere(address: str) -> None:
    """What a name leads to is not looked up: it may change."""
    assert not is_loopback(address)


@pytest.mark.parametrize("environment", EVERYWHERE)
def test_with_a_login_flower_may_be_anywhere(environment: Environment) -> None:
    """Whoever set one has decided."""
    require_login(door(ALL, has_login=True), environment)


@pytest.mark.parametrize("environment", [Environment.DEVELOPMENT, Environment.TESTING])
def test_on_a_laptop_no_login_is_needed_where_nobody_else_comes(environment: Environment) -> None:
    """A loopback address and a Unix socket are this machine's."""
    require_login(door(), environment)
    require_login(door("", is_socket=True), environment)


@pytest.mark.parametrize("environment", EVERYWHERE)
@pytest.mark.parametrize("address", ["", ALL, "10.0.0.1"])
def test_without_a_login_nobody_else_is_let_in(address: str, environment: Environment) -> None:
    """The one line says which variable to set."""
    with pytest.raises(ConfigError, match=r"DATAMCP_MONITORING__FLOWER_AUTH=USER:PASSWORD$"):
        require_login(door(address), environment)


@pytest.mark.parametrize("environment", [Environment.STAGING, Environment.PRODUCTION])
def test_guarded_environments_ask_for_a_login_everywhere(environment: Environment) -> None:
    """Other users of the same machine are not trusted there."""
    for one in (door(), door("", is_socket=True)):
        with pytest.raises(ConfigError, match=r"^monitoring\.flower_auth: is not set"):
            require_login(one, environment)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:5555", None),
        ("localhost:8080", "http://localhost:8080"),
        ("[::1]:5555", "http://[::1]:5555"),
        ("localhost", None),
    ],
)
def test_programs_and_pages_of_this_machine_may_ask(host: str, origin: str | None) -> None:
    """A program sends no origin, and Flower's own pages send their own."""
    assert is_own_request(host, origin)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:5555", "https://evil.example.com"),
        ("127.0.0.1:5555", "http://127.0.0.1:8000"),
        ("127.0.0.1:5555", "null"),
        ("rebound.example.com:5555", None),
        ("rebound.example.com:5555", "http://rebound.example.com:5555"),
        ("", None),
    ],
)
def test_pages_of_other_sites_may_not_ask(host: str, origin: str | None) -> None:
    """Neither across origins, nor under a name that was made to lead here."""
    assert not is_own_request(host, origin)
