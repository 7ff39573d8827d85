"""Who may look at Flower, and who may change something. Pure."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from datamcp.config.system import Environment
from datamcp.errors import ConfigError

_LOGIN = "set DATAMCP_MONITORING__FLOWER_AUTH=USER:PASSWORD"


@dataclass(frozen=True, slots=True)
class Door:
    """Where Flower listens, and whether it asks who is there."""

    address: str  # of a TCP port; empty for all of the machine's
    is_socket: bool  # a Unix socket in its place
    has_login: bool

    @property
    def is_private(self) -> bool:
        """Whether only this machine can reach it."""
        return self.is_socket or is_loopback(self.address)


def require_login(door: Door, environment: Environment) -> None:
    """Raise ConfigError, in a line that says what to do, where Flower must not be open."""
    if door.has_login:
        return
    if environment.is_guarded:
        raise ConfigError(
            f"monitoring.flower_auth: is not set, and in {environment} Flower starts only with a "
            f"user and a password; {_LOGIN}"
        )
    if not door.is_private:
        raise ConfigError(
            f"monitoring.flower_address: is {door.address or 'unset: all addresses'}, which other "
            f"machines can reach, so Flower starts only with a user and a password; {_LOGIN}"
        )


def is_loopback(host: str) -> bool:
    """Tell whether a name or an address is this machine's own, for itself alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_own_request(host: str, origin: str | None) -> bool:
    """Tell whether a request comes from this machine's own pages and programs.

    Without a login, a page of any other site could ask through the browser: under its own origin,
    or under a name of its own that leads here (DNS rebinding). `host` and `origin` are the
    headers of the request.
    """
    if not is_loopback(urlsplit(f"//{host}").hostname or ""):
        return False
    return origin is None or urlsplit(origin).netloc == host
