"""The proxy of `chaos`: what it forwards, and how it fails."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from threading import Thread

import pytest

from chaos.proxy import Proxy


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """Have a proxy before a server that answers with what it hears."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                Thread(target=echo, args=(connection,), daemon=True).start()

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield stack.enter_context(Proxy(server.getsockname()))
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def echo(connection: socket.socket) -> None:
    """Answer with what is heard."""
    with connection:
        while heard := connection.recv(1024):
            connection.sendall(heard)


def client(proxy: Proxy) -> socket.socket:
    """Return a client that has had an answer."""
    found = socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
    found.sendall(b"hello")
    assert found.recv(5) == b"hello"
    return found


def test_it_freezes_what_there_is_and_hangs_up(proxy: Proxy) -> None:
    """Old connections hear nothing until they are closed; new ones work meanwhile."""
    with client(proxy) as old:
        assert proxy.freeze() == 1
        old.sendall(b"more")
        old.settimeout(0.3)
        with pytest.raises(TimeoutError):
            old.recv(4)
        with client(proxy):
            assert proxy.hang_up() == 2
        old.settimeout(5)
        assert old.recv(4) == b""
    client(proxy).close()
