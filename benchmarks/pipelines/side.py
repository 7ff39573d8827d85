"""What every side is: runs of a graph that it starts, and waits for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.pipelines.shapes import Shape
from benchmarks.rival import Rival


@dataclass(frozen=True, slots=True)
class Launch:
    """A run that is ready to be started.

    `finish` takes what `start` gave and returns once the run has ended, as the side gets to know;
    it raises WrongResultError if a result is wrong.
    """

    start: Callable[[], Any]
    finish: Callable[[Any], None]
    extras: int = 0
    """How many tasks this side needs beside the steps; their numbers follow those of the steps."""


class Side(Rival, Protocol):
    """A side of the benchmark; each of its steps returns its own number in the graph."""

    def launches(self, shape: Shape, count: int) -> Sequence[Launch]:
        """Make so many runs ready, numbered from 0 on."""
        ...
