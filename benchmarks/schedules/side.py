"""What every side is: schedules that it keeps, a beat, and a queue."""

import importlib.util
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.schedules.load import Entry
from benchmarks.servers import Servers
from datamcp.config.text import child_environment
from datamcp.infra.processes import Child, spawn

_ROOT = Path(__file__).resolve().parents[2]
_OPTIONS = ("--loglevel", "WARNING", "--pidfile", "")  # of each beat


class Side(ABC):
    """One scheduler, with servers and a folder of its own."""

    name: ClassVar[str]
    needs: ClassVar[tuple[str, str] | None] = None
    """The package that has to be there, and the module by which that is seen."""
    seen_within: ClassVar[str]
    """How long it takes until the beat knows of a change."""

    def __init__(self, servers: Servers, folder: Path) -> None:
        """Take empty servers and an empty folder."""
        self.servers = servers
        self.folder = folder

    @classmethod
    def missing(cls) -> str | None:
        """Return the package that is not installed, if one is not."""
        if cls.needs is None or importlib.util.find_spec(cls.needs[1]) is not None:
            return None
        return cls.needs[0]

    @property
    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """Return what differs from the defaults."""

    @abstractmethod
    def keep(self, entries: Sequence[Entry]) -> None:
        """Keep schedules, for a beat that starts later."""

    @abstractmethod
    def ready(self) -> int:
        """Return how many messages are in the queue."""

    def close(self) -> None:  # noqa: B027  a hook: some have nothing to close
        """Close connections."""

    @abstractmethod
    def _app(self) -> Sequence[str]:
        """Return Celery's options that name the app."""

    def _options(self) -> Sequence[str]:
        """Return the options of beat itself."""
        return ()

    def _environment(self) -> Mapping[str, str]:
        """Return settings of datamcp's."""
        return {}

    def start(self) -> Child:
        """Start the beat."""
        environment = child_environment(self._environment())
        path = ":".join(filter(None, (str(_ROOT), environment.get("PYTHONPATH"))))
        command = [sys.executable, "-m", "celery", *self._app(), "beat", *_OPTIONS]
        return spawn(
            f"{self.name}'s beat",
            [*command, *self._options()],
            log_path=self.folder / "beat.log",
            env={**environment, "PYTHONPATH": path},
            cwd=self.folder,
        )
