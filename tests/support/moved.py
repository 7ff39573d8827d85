"""A Celery project that was moved over: its package in an installation, and who serves it."""

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from support.workers import BEAT, Installation, on_database, worker

SOURCE = Path(__file__).with_name("storefront")
NAME = SOURCE.name


@dataclass(frozen=True)
class Moved:
    """An installation with the project, under a package's name of its own."""

    installed: Installation
    package: str

    def name(self, task: str) -> str:
        """Return the full name of a task of the module `tasks`."""
        return f"{self.package}.tasks.{task}"

    def task(self, name: str) -> Any:
        """Return a task as a program of the project gets it: by import."""
        return self.installed.runtime.app.task_of(self.name(name))

    @property
    def signals(self) -> Path:
        """Where the project's receivers of signals write."""
        return self.installed.folder / "signals"


def copy_project(folder: Path) -> str:
    """Write the project into a folder, and return the name of its package there."""
    package = f"{NAME}_{uuid4().hex[:8]}"
    (folder / package).mkdir(parents=True)
    for path in SOURCE.glob("*.py"):
        text = path.read_text().replace(NAME, package)
        (folder / package / path.name).write_text(text)
    return package


@contextmanager
def moved(
    kind: str, request: pytest.FixtureRequest, folder: Path, *, pool: str = "prefork"
) -> Iterator[Moved]:
    """Have the project in an installation, with a worker for each of two agent types, and beat."""
    package = copy_project(folder)
    settings = {
        "agents.legacy.tasks": json.dumps([f"{package}.tasks", f"{package}.signals"]),
        "agents.legacy.concurrency": "2",
        "agents.legacy.pool": pool,
        "agents.legacy.queues": "celery,urgent",
        "agents.old.tasks": json.dumps([f"{package}.own_app"]),
        "agents.old.concurrency": "1",
        "agents.old.pool": pool,
    }
    with on_database(kind, request, folder, **settings) as installed:
        environment = installed.environment | {"STOREFRONT_SIGNALS": str(folder / "signals")}
        installed.start(
            ("legacy", worker("legacy")),
            ("old", worker("old")),
            ("beat", BEAT),
            environment=environment,
        )
        yield Moved(installed, package)
        _forget_results(installed.runtime.app)


def _forget_results(app: Any) -> None:
    """Let results that nobody waited for go while their server is there to be told."""
    for pending in app.backend._pending_results:
        pending.clear()
    gc.collect()
