"""What the compose file starts, run here with its commands, its environment and its health checks.

Only where things are is another matter: names of hosts, ports, and the paths of volumes.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url
from support.deployment import ONE_SHOT, SECRETS, SERVERS, VARIABLES, filled, services
from support.eventually import eventually
from support.flower import Flower
from support.shell import PROGRAMS, START, Shell, shell
from support.source import REPOSITORY

from datamcp.infra.celery import host
from datamcp.infra.embedded.valkey import find_server
from datamcp.infra.processes import Child, Supervisor

INSIDE = "/srv/datamcp"
PROCESSES = sorted(services().keys() - SERVERS - {ONE_SHOT})


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass(frozen=True)
class Composed:
    """The services, as if each were in its container."""

    opened: Shell
    supervisor: Supervisor
    database_url: str
    valkey_port: int
    flower_port: int

    def here(self, value: Any) -> Any:
        """Return a part of the compose file with its names of places replaced."""
        database = services()["research"]["environment"]["DATAMCP_STORAGE__DATABASE_URL"]
        places = {
            filled(database, VARIABLES): self.database_url,
            "@valkey:6379": f"@127.0.0.1:{self.valkey_port}",
            "valkey-server -": f"valkey-server - --bind 127.0.0.1 --port {self.valkey_port}",
            "valkey-cli": f"valkey-cli -p {self.valkey_port}",
            "0.0.0.0": "127.0.0.1",  # noqa: S104  replaced
            "5555": str(self.flower_port),
            INSIDE: str(self.opened.folder),
        }

        def replaced(text: str) -> str:
            for there, place in places.items():
                text = text.replace(there, place)
            return text

        return mapped(filled(value, VARIABLES), replaced)

    def inside(self, name: str) -> Shell:
        """Return a shell in a service's environment."""
        programs = f"{find_server().parent}:{PROGRAMS}"
        environment = self.here(services()[name]["environment"])
        return replace(self.opened, programs=Path(programs), settings=environment)

    def start(self, name: str) -> Child:
        """Start a service."""
        command = self.here(services()[name]["command"])
        argv = command.split() if isinstance(command, str) else command
        return self.supervisor.start(
            name,
            [str(self.found(argv[0])), *argv[1:]],
            log_path=self.opened.temporary / f"{name}.log",
            env=self.inside(name).environment,
            cwd=self.opened.folder,
        )

    def found(self, program: str) -> Path:
        """Return where a program is."""
        return Path(str(shutil.which(program, path=f"{PROGRAMS}:/usr/bin:/bin")))

    def is_healthy(self, name: str) -> bool:
        """Ask a service how it is, as its container would be asked."""
        return self.health_of(name, self.inside(name).environment) == 0

    def health_of(self, name: str, environment: Mapping[str, str]) -> int:
        """Return the exit code of a service's health check."""
        kind, *words = self.here(services()[name]["healthcheck"]["test"])
        argv = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
        argv[0] = str(self.found(argv[0]))
        return subprocess.run(argv, env=environment, capture_output=True, check=False).returncode


def mapped(value: Any, change: Any) -> Any:
    """Return a value with every text in it changed."""
    match value:
        case str():
            return change(value)
        case dict():
            return {key: mapped(inner, change) for key, inner in value.items()}
        case list():
            return [mapped(inner, change) for inner in value]
    return value


@pytest.fixture
def composed(blank_postgresql_url: str) -> Iterator[Composed]:
    """Have what is in the image, and volumes that are empty."""
    url = make_url(blank_postgresql_url).set(password=SECRETS["POSTGRES_PASSWORD"])
    database_url = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with shell() as opened, Supervisor(stop_timeout=60) as supervisor:
        for name in ("beat", "config", "workers"):
            shutil.copytree(REPOSITORY / name, opened.folder / name)
        for name in ("artifacts", "files", "state"):
            (opened.folder / name).mkdir()
        yield Composed(opened, supervisor, database_url, free_port(), free_port())


@pytest.mark.thorough  # the Procfile, whose processes are the same, is always run
def test_every_service_starts_works_and_ends(composed: Composed) -> None:
    """In staging: with passwords, a key, and no table until `migrate` has made them."""
    composed.start("valkey")
    eventually(lambda: composed.is_healthy("valkey"), timeout=START)
    migrated = composed.inside(ONE_SHOT).run(*services()[ONE_SHOT]["command"].split())
    assert migrated.code == 0, migrated.stderr
    children = [composed.start(name) for name in PROCESSES]
    for name, child in zip(PROCESSES, children, strict=True):
        eventually(lambda name=name, child=child: is_up(composed, name, child), timeout=START)
    user = composed.inside("research")
    registered = user.run("datamcp", "pipeline", "register", "config/pipelines/flights.yaml")
    assert registered.code == 0, registered.stderr
    run = user.run("datamcp", "pipeline", "trigger", "flights", "--wait", "--json")
    assert run.json["state"] == "succeeded", run.stderr
    flower = Flower(
        children[PROCESSES.index("flower")],
        f"http://127.0.0.1:{composed.flower_port}",
        SECRETS["DATAMCP_MONITORING__FLOWER_AUTH"],
    )
    shown = {task["name"] for task in flower.tasks().values()}
    assert {"file.read", "research.report"} <= shown
    assert replace(flower, login="").ask("/api/tasks").status == 401
    ends = [child.stop(60) for child in children]
    assert [str(end) for end in ends if end.code != 0] == []
    logs = [path.read_text() for path in composed.opened.temporary.glob("*.log")]
    assert [word for word in SECRETS.values() if any(word in log for log in logs)] == []


def is_up(composed: Composed, name: str, child: Child) -> bool:
    """Tell whether a service is healthy; fail if it has ended."""
    assert child.is_alive, child.log_tail(20)
    return composed.is_healthy(name)


def test_a_worker_is_healthy_while_its_own_file_is_young(composed: Composed) -> None:
    """A file of another container, or one that nobody has touched for long, does not count."""
    environment = composed.inside("research").environment
    alive = composed.opened.folder / "state" / "alive"
    assert composed.health_of("research", environment) != 0
    alive.mkdir()
    (alive / "research-7@elsewhere").touch()
    assert composed.health_of("research", environment) != 0
    own = alive / f"research-7@{host()}"
    own.touch()
    assert composed.health_of("research", environment) == 0
    os.utime(own, (1_000_000_000, 1_000_000_000))
    assert composed.health_of("research", environment) != 0


def test_a_server_s_password_is_in_no_command_line(composed: Composed) -> None:
    """Everybody on the host can see those."""
    valkey = composed.start("valkey")
    eventually(lambda: composed.is_healthy("valkey"), timeout=START)
    if sys.platform == "linux":
        line = Path(f"/proc/{valkey.pid}/cmdline").read_text()
        assert "valkey-server" in line
        assert SECRETS["VALKEY_PASSWORD"] not in line
    wrong = {**composed.inside("valkey").environment, "REDISCLI_AUTH": "wrong"}
    assert composed.health_of("valkey", wrong) != 0
