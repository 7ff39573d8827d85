"""What faults act on, and what they leave for the judgement."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from chaos.crew import Crew
from chaos.stage import Stage
from datamcp.bootstrap.runtime import Runtime
from datamcp.clock import SystemClock

Course = Iterator[float]
"""How a fault goes on: each number is how many seconds later its next part comes."""


@dataclass(frozen=True, slots=True)
class Kill:
    """Work may be taken from a worker, at an instant (s), by a fault of this kind.

    No name of a worker stands for all of them.
    """

    kind: str
    agent_id: str | None
    at: float


@dataclass(slots=True)
class World:
    """One run, as faults see it. `runtime` reaches the servers without a proxy."""

    stage: Stage
    crew: Crew
    runtime: Runtime
    rng: Random
    kills: list[Kill] = field(default_factory=list)
    letters: list[str] = field(default_factory=list)
    """The ids of tasks that came in messages only."""
    detail: str = ""

    def tell(self, detail: str) -> None:
        """Say what exactly the fault is that is being made."""
        self.detail = detail

    def note_kill(self, kind: str, agent_id: str | None = None) -> None:
        """Note that a worker, or a part of it, stops working now; or that all may lose claims."""
        self.kills.append(Kill(kind, agent_id, SystemClock().now().timestamp()))

    @property
    def pickled(self) -> str:
        """The path of a file that only unpickled code would make."""
        return str(self.stage.folder / "unpickled")


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault. Of those that touch the same thing, one is made at a time."""

    name: str
    touches: str
    begin: Callable[[World], Course]
    unfit: Callable[[World], str | None] = lambda _world: None
    """Why it can't be made on a stage, if it can't."""
