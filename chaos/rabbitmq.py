"""A RabbitMQ of a run's own, from the server that the machine has: it can be killed and restarted.

It speaks to nobody but us: on ports of its own, with a name, a cookie and an `epmd` of its own, all
in a private folder. Its patience is short, so that what takes hours elsewhere happens in seconds.
"""

import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from kombu.connection import Connection

from datamcp.infra.embedded.server import EmbeddedServer
from datamcp.infra.processes import Child, spawn

CONSUMER_TIMEOUT: Final = 8  # seconds that a message may stay unacknowledged
HEARTBEAT: Final = 5  # seconds

_HERE = "127.0.0.1"
_DEBIAN = Path("/usr/lib/rabbitmq/bin")
"""Where Debian has the programs for anybody; those on the path want to be root's."""
_ANSWER = 60.0  # seconds that a command may take

_SETTINGS = """\
listeners.tcp.1 = {here}:{port}
heartbeat = {heartbeat}
consumer_timeout = {timeout}
"""
_MORE_SETTINGS = "[{rabbit, [{channel_tick_interval, 1000}]}]."
"""How often it looks for those messages, in ms, has no other name."""


class OwnRabbitMQ(EmbeddedServer):
    """One RabbitMQ server, without plugins."""

    kind = "rabbitmq"
    stop_signal = signal.SIGTERM
    stop_timeout = 20.0

    def __init__(self, *, start_timeout: float = 60.0) -> None:
        """Take the seconds that a start may take."""
        super().__init__(start_timeout=start_timeout)
        self._name = f"datamcp-{uuid4().hex[:12]}"
        self._port, self._distribution, self._names = _free_ports(3)
        self._epmd: Child | None = None

    @property
    def broker_url(self) -> str:
        """The URL for Celery."""
        return f"amqp://guest:guest@{_HERE}:{self._port}//"

    @property
    def memory(self) -> Path:
        """The folder of what it keeps."""
        return self.folder / "kept"

    @property
    def environment(self) -> dict[str, str]:  # type: ignore[override]
        """What names all that it shares with nobody."""
        folder = str(self.folder)
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": folder,
            "RABBITMQ_NODENAME": f"{self._name}@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_MNESIA_BASE": str(self.memory),
            "RABBITMQ_LOG_BASE": folder,
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "ERL_EPMD_ADDRESS": _HERE,
            "ERL_EPMD_PORT": str(self._names),
            "ERL_FLAGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RUNNING_UNDER_SYSTEMD": "true",  # no shell of its own stays before the server
        }

    def close_connections(self) -> None:
        """Have the server close all connections, and say so to each client."""
        subprocess.run(
            [str(_program("rabbitmqctl")), "close_all_connections", "cut by the test"],
            env=self.environment,
            timeout=_ANSWER,
            capture_output=True,
            check=True,
        )

    def stop(self) -> None:
        """End the server, and what has kept its name."""
        try:
            super().stop()
        finally:
            if self._epmd is not None:
                self._epmd.kill()
                self._epmd.reap()
                self._epmd = None

    def _prepare(self) -> None:
        self.memory.mkdir()
        (self.folder / "plugins").write_text("[].")
        (self.folder / "rabbitmq.conf").write_text(
            _SETTINGS.format(
                here=_HERE, port=self._port, heartbeat=HEARTBEAT, timeout=CONSUMER_TIMEOUT * 1000
            )
        )
        (self.folder / "advanced.config").write_text(_MORE_SETTINGS)
        self._epmd = spawn(
            "epmd",
            ["epmd", "-port", str(self._names), "-address", _HERE],
            log_path=self.folder / "epmd.log",
            env=self.environment,
        )

    def _command(self) -> list[str]:
        return [str(find_server())]

    def _answering_pid(self) -> int | None:
        """Return the id of our process once the server that answers has its name."""
        make: Any = Connection
        with suppress(OSError), make(self.broker_url, connect_timeout=2) as connection:
            connection.connect()
            told: dict[str, Any] = connection.connection.server_properties
            cluster = str(told.get("cluster_name")).partition("@")[0]
            return self.pid if cluster == self._name else None
        return None


def find_server() -> str | None:
    """Return the program of the machine's RabbitMQ; None if it has none."""
    return _program("rabbitmq-server")


def _program(name: str) -> str | None:
    return shutil.which(_DEBIAN / name) or shutil.which(name)


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now."""
    sockets = [socket.create_server((_HERE, 0)) for _ in range(count)]
    try:
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
