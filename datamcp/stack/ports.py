"""Where Flower listens."""

import socket
from contextlib import closing

from datamcp.errors import ConfigError

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "*": "127.0.0.1"}  # noqa: S104  looked up
_ANSWER_TIMEOUT = 1.0  # seconds


def choose(address: str, port: int, *, is_fixed: bool) -> int:
    """Return the port to listen on: the one asked for, else any that is free.

    Raises ConfigError where the one asked for is taken and `is_fixed`.
    """
    if port and _is_free(address, port):
        return port
    if port and is_fixed:
        message = f"monitoring.flower_port: port {port} of {address} is taken; choose another"
        raise ConfigError(message)
    try:
        with closing(_bound(address, 0)) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        message = f"monitoring.flower_address: cannot listen on {address!r}: {error.strerror}"
        raise ConfigError(message) from error


def answers(address: str, port: int) -> bool:
    """Tell whether somebody listens there."""
    try:
        with socket.create_connection((reachable(address), port), timeout=_ANSWER_TIMEOUT):
            return True
    except OSError:
        return False


def url(address: str, port: int) -> str:
    """Return what to type into a browser on this machine."""
    host = reachable(address)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def reachable(address: str) -> str:
    """Return an address of this machine for one that means all of them."""
    return _EVERYWHERE.get(address, address)


def _is_free(address: str, port: int) -> bool:
    try:
        with closing(_bound(address, port)):
            return True
    except OSError:
        return False


def _bound(address: str, port: int) -> socket.socket:
    family, kind, protocol, _, place = socket.getaddrinfo(
        None if address == "*" else address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    probe = socket.socket(family, kind, protocol)
    try:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(place)
    except OSError:
        probe.close()
        raise
    return probe
