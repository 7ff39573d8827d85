"""Flower as a real process, and its pages as a program or a browser asks for them."""

import base64
import json
import re
import sys
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import uuid4

from datamcp.config.text import child_environment
from datamcp.infra.processes import Child
from support.eventually import eventually
from support.workers import START, Installation


@dataclass(frozen=True)
class Answer:
    """What Flower answered."""

    status: int
    text: str

    @property
    def json(self) -> Any:
        """The text, as JSON."""
        return json.loads(self.text)


@dataclass(frozen=True)
class Flower:
    """A Flower that serves, and who asks it."""

    child: Child
    url: str
    login: str = ""

    def ask(self, path: str, body: Any = None, **headers: str) -> Answer:
        """Ask for a page; with a body, send it."""
        data = None if body is None else json.dumps(body).encode()
        if self.login:
            headers["Authorization"] = f"Basic {base64.b64encode(self.login.encode()).decode()}"
        try:
            with urlopen(Request(self.url + path, data, headers), timeout=30) as response:  # noqa: S310  ours
                return Answer(response.status, response.read().decode())
        except HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode())

    def states(self) -> dict[str, str]:
        """Return the state of each task that it shows."""
        return {task_id: task["state"] for task_id, task in self.tasks().items()}

    def tasks(self) -> dict[str, Any]:
        """Return the tasks that it shows."""
        found: dict[str, Any] = self.ask("/api/tasks").json
        return found

    def workers(self) -> dict[str, Any]:
        """Return the workers that it shows."""
        found: dict[str, Any] = self.ask("/api/workers").json
        return found


def start_flower(installed: Installation, *options: str, **settings: str) -> Flower:
    """Start a Flower at any free port, with more settings; return it once it serves."""
    name = f"flower-{uuid4().hex[:6]}"
    child = installed.supervisor.start(
        name,
        [sys.executable, "-m", "celery", "-A", "datamcp", "flower", *options],
        log_path=installed.folder / f"{name}.log",
        env=child_environment({**installed.settings, "monitoring.flower_port": "0", **settings}),
        cwd=installed.folder,
    )
    return Flower(child, eventually(lambda: _address(child), timeout=START))


def _address(child: Child) -> str | None:
    log = child.log_path.read_text()
    assert child.is_alive, log
    found = re.search(r"Visit me at (http://\S+)", log)
    return found and found[1]
