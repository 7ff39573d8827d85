"""What every side of a benchmark is: a host, which is its worker, and ways to give it work."""

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any, Literal, Protocol

from benchmarks import probes
from benchmarks.tally import Tally, WrongResultError
from datamcp.infra.processes import Child, spawn

Pool = Literal["prefork", "threads"]
Ledger = Literal["postgresql", "sqlite"]
Layers = Sequence[int]
"""How many tasks each layer of a graph has; each task waits for all of the layer before."""

PATIENCE = 120.0
"""Seconds after which anything that is waited for has failed."""

_ROOT = Path(__file__).resolve().parents[1]
_STOP = 30.0  # seconds that a worker has to end
_POLL = 0.005  # seconds
_TROUBLE = ("ERROR", "CRITICAL", "Traceback")


class Host(ABC):
    """The worker of one side, and the folder in which its tasks are counted."""

    def __init__(self, name: str, folder: Path) -> None:
        """Take a name and an empty folder."""
        self.name = name
        self.folder = folder
        self.tally = Tally(folder)
        self.slots = 0
        self._child: Child | None = None

    @abstractmethod
    def _arguments(self, pool: Pool, slots: int) -> list[str]:
        """Return Celery's command line, from the options before the command on."""

    @abstractmethod
    def _environment(self, pool: Pool, slots: int) -> Mapping[str, str]:
        """Return the environment of the worker."""

    @property
    def reserve(self) -> int:
        """How many messages the worker takes beyond those that its slots are busy with."""
        return 0

    def await_reserve(self) -> None:  # noqa: B027  a hook: most reserve nothing
        """Wait until the worker has taken its reserve, if that many messages are there."""

    @property
    def pid(self) -> int | None:
        """The worker's main process."""
        return None if self._child is None else self._child.pid

    @property
    def statements(self) -> Path:
        """Where the worker counts its statements, if told to."""
        return self.folder / probes.STATEMENTS

    def start(self, pool: Pool, slots: int, *, probe: str | None = None) -> None:
        """Start the worker, with this file of `probes` in its folder, if any."""
        for name in (probes.COUNT, probes.PROFILE):
            (self.folder / name).unlink(missing_ok=True)
        if probe is not None:
            (self.folder / probe).touch()
        self.slots = slots
        environment = self._environment(pool, slots)
        path = ":".join(filter(None, (str(_ROOT), environment.get("PYTHONPATH"))))
        self._child = spawn(
            f"{self.name}'s worker",
            [sys.executable, "-m", "celery", *self._arguments(pool, slots)],
            log_path=self.folder / "worker.log",
            env={**environment, "PYTHONPATH": path},
            cwd=self.folder,
        )

    def stop(self) -> None:
        """End the worker; may be repeated. Raises WrongResultError if it had trouble."""
        if self._child is None:
            return
        child, self._child = self._child, None
        child.stop(_STOP)
        log = child.log_path.read_text(errors="replace")
        if any(word in log for word in _TROUBLE):
            raise WrongResultError(f"{child.name} had trouble; its log:\n{log[-4000:]}")

    def until(self, check: Callable[[], bool], what: str) -> None:
        """Wait until something holds; raises WrongResultError if the worker ends before it does."""
        deadline = time.monotonic() + PATIENCE
        while not check():
            child = self._child
            if child is None or not child.is_alive:
                tail = "" if child is None else child.log_tail(20)
                raise WrongResultError(f"{self.name} has no worker while {what}:\n{tail}")
            if time.monotonic() > deadline:
                raise WrongResultError(
                    f"{self.name}: not within {PATIENCE:g} s: {what}\n{child.log_tail(20)}"
                )
            Event().wait(_POLL)


class Rival(Protocol):
    """A side of the benchmark.

    Numbers name tasks; each task returns its own. A handle is whatever sending one gave.
    """

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def host(self) -> Host:
        """Its worker, which it may share."""
        ...

    @property
    def ledger(self) -> Ledger | None:
        """What keeps its tasks; None where nothing does."""
        ...

    @property
    def scenarios(self) -> frozenset[str] | None:
        """What it takes part in; None for everything."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """What it was run with."""
        ...

    def enqueue(self, numbers: Sequence[int]) -> Sequence[Any]:
        """Send no-ops, one at a time; return their handles."""
        ...

    def enqueue_many(self, numbers: Sequence[int]) -> Sequence[Any]:
        """Send no-ops, the fastest way that there is."""
        ...

    def enqueue_tiny(self, numbers: Sequence[int]) -> Sequence[Any]:
        """Send no-ops that may travel together, where a side lets them."""
        ...

    def hold(self, numbers: Sequence[int], gate: Path) -> Sequence[Any]:
        """Send tasks that end when the gate is there."""
        ...

    def ids(self, handles: Sequence[Any]) -> list[str]:
        """Return the ids of what was sent; the caller lets go of the handles then."""
        ...

    def is_settled(self, ids: Sequence[str]) -> bool:
        """Tell whether the results of all of these are there."""
        ...

    def results(self, ids: Sequence[str]) -> list[Any] | None:
        """Return the results of these, in order; None if this side keeps none.

        Raises WrongResultError if one is not there, or is no success.
        """
        ...

    def call(self, number: int) -> Any:
        """Send one no-op, wait for its result and return it."""
        ...

    def prepare(self, layers: Layers) -> Callable[[], None]:
        """Return what runs these layers once, and returns when the last one has ended.

        It raises WrongResultError if a result is wrong. Tasks are numbered through the layers
        from 0 on; what a side needs beside them has higher numbers.
        """
        ...

    def extras(self, layers: Layers) -> int:
        """Return how many tasks this side needs beside those of the layers."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...


def numbered(layers: Layers) -> list[range]:
    """Return the numbers of each layer's tasks."""
    starts = [sum(layers[:index]) for index in range(len(layers))]
    return [range(start, start + width) for start, width in zip(starts, layers, strict=True)]
