"""Speaks HTTP/1.1 over a wire: httpx's requests and answers, httpcore's connections.

httpx's own client is left out: it logs whole URLs, and follows redirects with a step's headers.
"""

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self, cast

import httpcore
import httpx

from datamcp.processors.web.wire import Wire


class Transport(httpx.BaseTransport):
    """Sends requests one after the other; keeps the connection for the next one.

    It raises httpcore's errors.
    """

    def __init__(self, wire: Wire) -> None:
        """Take what connects; nothing is connected to yet."""
        context = httpx.create_ssl_context()
        self._pool = httpcore.ConnectionPool(ssl_context=context, network_backend=wire)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; the answer's body is still to be read, and the answer to be closed."""
        url = request.url
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        body = _Body(cast(Iterable[bytes], answer.stream))
        return httpx.Response(answer.status, headers=answer.headers, stream=body)

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close all connections."""
        self.close()


class _Body(httpx.SyncByteStream):
    """What is read of an answer."""

    def __init__(self, inner: Iterable[bytes]) -> None:
        self._inner = inner

    def __iter__(self) -> Iterator[bytes]:
        yield from self._inner

    def close(self) -> None:
        if close := getattr(self._inner, "close", None):
            close()
