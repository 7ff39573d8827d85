"""A TCP proxy before a server: it can stop forwarding, as a dead network does, and hang up."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any, Self

Target = Path | tuple[str, int]
"""A Unix socket, or a host and its port."""

_CHUNK = 65_536  # bytes
_ANSWER = 10.0  # seconds that its own thread has


class Proxy:
    """Forwards what comes to a port of its own; in a `with`."""

    def __init__(self, target: Target) -> None:
        """Take where to forward to."""
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="chaos-proxy", daemon=True)
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        self._server = self._await(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_exception: object) -> None:
        """Hang up, and listen no more."""
        self._await(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ANSWER)
        self._loop.close()

    def freeze(self) -> int:
        """Forward nothing more on the connections that there are; return how many."""
        count: int = self._await(self._each(_Link.freeze))
        return count

    def hang_up(self) -> int:
        """Close the connections that there are; return how many."""
        count: int = self._await(self._each(_Link.abort))
        return count

    async def _each(self, act: "Callable[[_Link], None]") -> int:
        links = list(self._links)
        for link in links:
            act(link)
        return len(links)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._each(_Link.abort)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=_ANSWER / 2)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        link = _Link(reader, writer, far_reader, far_writer)
        self._links.add(link)
        try:
            await link.forward()
        finally:
            self._links.discard(link)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection(*self._target)

    def _await(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_ANSWER)


class _Link:
    """One connection, both ways."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        self._ways = ((reader, far_writer), (far_reader, writer))
        self._writers = (writer, far_writer)
        self._flows = asyncio.Event()
        self._flows.set()
        self._pumps: list[asyncio.Task[None]] = []

    async def forward(self) -> None:
        self._pumps = [asyncio.ensure_future(self._pump(*way)) for way in self._ways]
        await asyncio.wait(self._pumps, return_when=asyncio.FIRST_COMPLETED)
        self.abort()

    def freeze(self) -> None:
        self._flows.clear()

    def abort(self) -> None:
        for pump in self._pumps:
            pump.cancel()
        for writer in self._writers:
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                await self._flows.wait()
                writer.write(chunk)
                await writer.drain()
            await self._flows.wait()  # a frozen network does not tell of an end, either
