"""What the tasks of a benchmark write, on either side, and how it is read: one line an execution.

A line costs some microseconds, the same on both sides. It is what proves that every task ran
exactly once, and its instant is how a drain is timed: by the executions themselves.
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from threading import Event

FILE = "executions"
"""In the folder in which a worker is started."""

STRIDE = 10_000
"""The numbers of a run's steps begin with this many times the number of the run."""

_POLL = 0.002  # seconds

_lock = threading.Lock()
_files: dict[int, int] = {}


def note(number: int) -> int:
    """Note that a task runs in this process, and return its number."""
    os.write(_file(), b"%d %d\n" % (number, time.monotonic_ns()))
    return number


def hold(number: int, gate: str) -> int:
    """Note that a task runs, and end it when the gate, a file, is there."""
    note(number)
    path = Path(gate)
    while not path.exists():
        Event().wait(_POLL)
    return number


def step(number: int, run: int, seconds: float) -> int:
    """Note that a step of a run has begun, take so many seconds, and return its number."""
    note(run * STRIDE + number)
    if seconds:
        Event().wait(seconds)
    return number


def _file() -> int:
    """Return the descriptor of this process's tally; each write goes to the end, whole."""
    pid = os.getpid()
    with _lock:
        if pid not in _files:
            _files[pid] = os.open(FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return _files[pid]


@dataclass(frozen=True, slots=True)
class Execution:
    """A task that ran: its number, and when it began, in seconds of the monotonic clock."""

    number: int
    at: float


@dataclass(frozen=True, slots=True)
class Tally:
    """The executions of one side."""

    folder: Path

    @property
    def _path(self) -> Path:
        return self.folder / FILE

    def mark(self) -> int:
        """Return how far it has been written."""
        return self._path.stat().st_size if self._path.exists() else 0

    def since(self, mark: int) -> list[Execution]:
        """Return what was written since then, in the order of writing."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(mark)
            lines = file.read().splitlines()
        numbers = (line.split() for line in lines)
        return [Execution(int(number), int(at) / 1e9) for number, at in numbers]

    def count(self, mark: int) -> int:
        """Return how many executions were written since then."""
        if not self._path.exists():
            return 0
        with self._path.open("rb") as file:
            file.seek(mark)
            return file.read().count(b"\n")


class WrongResultError(Exception):
    """A round did not do what it should; its figures mean nothing."""


def check_once(executions: Sequence[Execution], numbers: Collection[int]) -> None:
    """Raise WrongResultError unless each of these numbers, and no other, was executed once."""
    counts = Counter(execution.number for execution in executions)
    wanted = set(numbers)
    missing = sorted(wanted - counts.keys())
    twice = sorted(number for number, count in counts.items() if count > 1)
    others = sorted(counts.keys() - wanted)
    if missing or twice or others:
        raise WrongResultError(
            f"{len(wanted)} tasks, {len(executions)} executions; not run: {missing[:5]}, "
            f"run more than once: {twice[:5]}, not asked for: {others[:5]}"
        )


def check_layers(executions: Sequence[Execution], layers: Sequence[Collection[int]]) -> None:
    """Raise WrongResultError if a task began before one of the layer before its own."""
    at = {execution.number: execution.at for execution in executions}
    for before, after in pairwise(layers):
        if max(at[number] for number in before) > min(at[number] for number in after):
            raise WrongResultError(f"a task of {sorted(after)[:5]} did not wait for its upstreams")
