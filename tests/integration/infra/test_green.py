"""The driver of PostgreSQL among greenlets."""

import socket
import subprocess
import sys

_ASK = """
import gevent.monkey

gevent.monkey.patch_all()
import sys

from datamcp.errors import BackendUnavailable
from datamcp.infra import green
from datamcp.infra.database import Database

assert green.is_green()
green.CONNECT_TIMEOUT = 0.2
green.install()
try:
    with Database(sys.argv[1]).autocommit():
        print("there")
except BackendUnavailable as error:
    print(error.reason)
"""


def test_a_server_that_does_not_answer_is_not_waited_for() -> None:
    """The driver's own limit holds only where it waits by itself."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        asked = subprocess.run(
            [sys.executable, "-c", _ASK, f"postgresql://x:y@127.0.0.1:{port}/z"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert asked.stdout == "the server did not answer in time\n", asked.stderr


def test_a_server_is_asked(postgresql_url: str) -> None:
    """As ever."""
    asked = subprocess.run(
        [sys.executable, "-c", _ASK, postgresql_url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert asked.stdout == "there\n", asked.stderr
