"""Connects to public addresses only, and within a deadline.

The address is judged that is really connected to, after the name was looked up, so neither a name
that changes its address (DNS rebinding) nor a number in disguise (`0x7f.1`) leads anywhere else.
"""

import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Any

import httpcore

from datamcp.clock import Clock
from datamcp.errors import ProcessingError
from datamcp.processors.web.address import refusal

_NEXT_AFTER = 5.0  # seconds, after which the next address of a host is tried

Resolve = Callable[[str, int], Iterable[str]]
"""Gives the addresses of a host; an OSError if it has none."""


class Wire(httpcore.NetworkBackend):
    """Opens connections; `deadline` holds for all that is done on any of them."""

    def __init__(
        self, *, clock: Clock, trusted: tuple[str, int] | None, resolve: Resolve | None = None
    ) -> None:
        """Take what measures time, and the host and port that may be private, if there is one."""
        self._clock = clock
        self._trusted = trusted
        self._resolve = resolve or addresses_of
        self._inner = httpcore.SyncBackend()
        self._deadline = 0.0

    def allow(self, seconds: float) -> None:
        """Let everything from now on take so long, together."""
        self._deadline = self._clock.monotonic() + seconds

    def left(self, late: type[httpcore.TimeoutException]) -> float:
        """Return how many seconds are left; raise `late` if none are."""
        left = self._deadline - self._clock.monotonic()
        if left <= 0:
            raise late("the time is over")
        return left

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002  httpcore's; the deadline holds
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a host that answers; ProcessingError if one is private."""
        failed: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        addresses = self._addresses(host, port)
        for number, address in enumerate(addresses):
            seconds = self.left(httpcore.ConnectTimeout)
            if number + 1 < len(addresses):  # one that never answers leaves time for the others
                seconds = min(seconds / 2, _NEXT_AFTER)
            try:
                stream = self._inner.connect_tcp(
                    address, port, seconds, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
            else:
                return _TimedStream(stream, self)
        raise failed or httpcore.ConnectError("the name has no address")

    def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = list(dict.fromkeys(self._resolve(host, port)))
        except UnicodeError as error:
            raise ProcessingError(f"{host[:60]!r} is no name of a host") from error
        except OSError as error:
            raise httpcore.ConnectError(f"its name is not found: {error.strerror}") from error
        if (host, port) != self._trusted:
            for address in found:
                _require_public(host, address)
        return found


class _TimedStream(httpcore.NetworkStream):
    """A connection on which each read and write has what is left of the deadline."""

    def __init__(self, inner: httpcore.NetworkStream, wire: Wire) -> None:
        self._inner = inner
        self._wire = wire

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._inner.read(max_bytes, self._wire.left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._inner.write(buffer, self._wire.left(httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        left = self._wire.left(httpcore.ConnectTimeout)
        return _TimedStream(self._inner.start_tls(ssl_context, server_hostname, left), self._wire)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def addresses_of(host: str, port: int) -> list[str]:
    """Look up the addresses of a host; raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(place[0]) for *_, place in found]


def _require_public(host: str, address: str) -> None:
    if reason := refusal(address):
        name = host if host == address else f"{host} ({address})"
        raise ProcessingError(
            f"refused to connect to {name}: {reason}; name an integration with "
            "`options: {allow_private: true}` if that is meant"
        )
