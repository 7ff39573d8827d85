"""A proxy before a server, which can stop to forward: to both sides the connection seems open."""

import selectors
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

_MUCH = 65536  # bytes
_LOOK = 0.05  # seconds


class Proxy:
    """Forwards connections to a server, as long as it is told to."""

    def __init__(self, server: tuple[str, int] | str) -> None:
        """Take where the server listens: a host and a port, or the path of a socket."""
        self._server = server
        self._ends = Event()
        self._hangs = Event()
        self._rests = Event()
        self._cuts = Event()
        self._others: dict[socket.socket, socket.socket] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Return the port of this machine on which it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Forward nothing during the block; connections can still be made."""
        self._hangs.set()
        self._rests.wait()
        try:
            yield
        finally:
            self._hangs.clear()

    def cut(self) -> None:
        """Close what is open, and forward no more of it; what was not forwarded yet is lost."""
        self._cuts.set()
        while self._cuts.is_set():
            self._ends.wait(_LOOK)

    def close(self) -> None:
        """End all connections."""
        self._ends.set()
        self._thread.join()
        for one in (self._listener, *self._others):
            one.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._ends.is_set():
            if self._cuts.is_set():
                for one in list(self._others):
                    self._drop(one)
                self._cuts.clear()
            if self._hangs.is_set():
                self._rests.set()
                self._ends.wait(_LOOK)
                continue
            self._rests.clear()
            for key, _ in self._selector.select(_LOOK):
                one: socket.socket = key.fileobj  # type: ignore[assignment]
                self._accept() if one is self._listener else self._forward(one)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        if isinstance(self._server, str):
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._server)
        else:
            far = socket.create_connection(self._server)
        for one, other in ((near, far), (far, near)):
            self._others[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _forward(self, one: socket.socket) -> None:
        if one not in self._others:
            return
        try:
            data = one.recv(_MUCH)
            if data:
                self._others[one].sendall(data)
                return
        except OSError:
            pass  # it is gone, and so is its other side
        self._drop(one)

    def _drop(self, one: socket.socket) -> None:
        """Close both sides of a connection."""
        if one not in self._others:
            return
        for each in (one, self._others[one]):
            self._selector.unregister(each)
            self._others.pop(each)
            each.close()


@contextmanager
def proxy(server: tuple[str, int] | str) -> Iterator[Proxy]:
    """Have a proxy before a server."""
    made = Proxy(server)
    try:
        yield made
    finally:
        made.close()
