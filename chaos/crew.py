"""Workers and beats of a run: nobody looks after them but the driver, which starts the dead again.

Each has a name that stays, so that a log tells of all that lived under it.
"""

import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import monotonic
from typing import Self

import psutil

from chaos import clock
from chaos.stage import PROCESSES, THREADS, Stage
from datamcp.config.text import child_environment
from datamcp.infra.celery import nodename
from datamcp.infra.processes import Child, Supervisor

_ROOT = Path(__file__).resolve().parents[1]
_STOP = 20.0  # seconds that all have to end in the end
_LATER = (0.2, 1.5)  # seconds after which a dead process is started again


@dataclass(frozen=True, slots=True)
class Post:
    """A process that there always is to be; one without an agent type is a beat."""

    name: str
    agent: str | None
    options: tuple[str, ...] = ()
    app: str = "datamcp"

    @property
    def is_worker(self) -> bool:
        """Whether it is a worker."""
        return self.agent is not None


POSTS = (
    Post("processes-1", PROCESSES),
    Post("processes-2", PROCESSES, ("--max-tasks-per-child", "25")),
    Post("processes-3", PROCESSES, ("--autoscale", "3,1")),
    Post("threads-1", THREADS),
    Post("beat-1", None),
    Post("beat-2", None),
)
"""The crew of a usual run."""


class Crew:
    """The processes of a run; none outlives the block. For one thread."""

    def __init__(self, stage: Stage, posts: Sequence[Post], rng: Random) -> None:
        """Take the stage, who is to be there, and what decides when the dead come back."""
        self._stage = stage
        self._rng = rng
        self._supervisor = Supervisor(stop_timeout=_STOP)
        self._due: dict[str, float] = {}  # by name: when it is started again
        self._expected: set[int] = set()  # ids of processes that a fault has ended
        self.crashes: Counter[str] = Counter()
        """Those that ended without a fault of ours, by name."""
        self.posts = tuple(posts)
        self.starts = 0

    def __enter__(self) -> Self:
        """Start all."""
        self._supervisor.__enter__()
        for post in self.posts:
            self._start(post)
        return self

    def __exit__(self, *_exception: object) -> None:
        """Stop all."""
        self.stop()

    def stop(self) -> list[int]:
        """Stop all; return the ids of processes that are still there. May be repeated."""
        for post in self.posts:
            self.signal(post, signal.SIGCONT)
        family = {one.pid: one for pid in self._living() for one in _family(pid)}
        self._supervisor.stop_all()
        _gone, left = psutil.wait_procs(list(family.values()), timeout=_STOP)
        return [one.pid for one in left]

    @property
    def are_ready(self) -> bool:
        """Whether all that live have begun their work."""
        return all(self.is_ready(post) for post in self.posts)

    def is_ready(self, post: Post) -> bool:
        """Tell whether a process lives and has begun its work."""
        child = self._supervisor[post.name]
        said = child.last_words()
        return child.is_alive and (" ready." in said or "beat: Starting" in said)

    def mend(self) -> None:
        """Start those that died a moment ago."""
        for post in self.posts:
            if self._supervisor[post.name].is_alive:
                continue
            if post.name not in self._due:
                self._note_end(post)
            due = self._due.setdefault(post.name, monotonic() + self._rng.uniform(*_LATER))
            if monotonic() >= due:
                del self._due[post.name]
                self._start(post)

    def living(self, *, agent: str | None = None, beats: bool = False) -> list[Post]:
        """Return the workers (of an agent type), or the beats, that live."""
        wanted = [post for post in self.posts if post.is_worker is not beats]
        return [
            post
            for post in wanted
            if self._supervisor[post.name].is_alive and agent in {None, post.agent}
        ]

    def pid(self, post: Post) -> int:
        """Return the id of a post's process."""
        return self._supervisor[post.name].pid

    def agent_id(self, post: Post) -> str:
        """Return the name under which a worker claims."""
        return nodename(post.agent or "beat", self.pid(post))

    def children(self, post: Post) -> list[int]:
        """Return the ids of a pool's processes."""
        with suppress(psutil.Error):
            return [child.pid for child in psutil.Process(self.pid(post)).children()]
        return []

    def kill(self, post: Post) -> None:
        """End a process and its whole group at once."""
        self._expected.add(self.pid(post))
        self._child(post).kill()

    def terminate(self, post: Post) -> None:
        """Ask a process to end; it is started again when it has."""
        self._expected.add(self.pid(post))
        self._child(post).terminate()

    def signal(self, post: Post, signum: signal.Signals, *, group: bool = True) -> None:
        """Send a signal to a process that lives, or to its group."""
        child = self._child(post)
        if signum == signal.SIGKILL:
            self._expected.add(child.pid)
        if child.is_alive:
            with suppress(ProcessLookupError):
                (os.killpg if group else os.kill)(child.pid, signum)

    def logs(self) -> dict[str, str]:
        """Return what each has written."""
        paths = {post.name: self._log(post) for post in self.posts}
        return {
            name: path.read_text(errors="replace") for name, path in paths.items() if path.exists()
        }

    def _note_end(self, post: Post) -> None:
        if self.pid(post) not in self._expected:
            self.crashes[post.name] += 1

    def _living(self) -> list[int]:
        return [self.pid(post) for post in self.posts if self._child(post).is_alive]

    def _child(self, post: Post) -> Child:
        return self._supervisor[post.name]

    def _log(self, post: Post) -> Path:
        return self._stage.folder / f"{post.name}.log"

    def _start(self, post: Post) -> None:
        if post.agent is None:
            command = ["beat", "--pidfile", "", "--loglevel", "INFO"]
        else:
            command = ["worker", "--agent", post.agent, *post.options]
        environment = child_environment(self._stage.settings)
        path = ":".join(filter(None, (str(_ROOT), environment.get("PYTHONPATH"))))
        self._supervisor.start(
            post.name,
            [sys.executable, "-m", "celery", "-A", post.app, *command],
            log_path=self._log(post),
            env={**environment, **clock.environment(self._stage.folder), "PYTHONPATH": path},
            cwd=self._stage.folder,
        )
        self.starts += 1


def _family(pid: int) -> list[psutil.Process]:
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []
