"""The tree that a graph becomes: what comes one after the other, and what runs side by side."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """A single step."""

    step_id: str


@dataclass(frozen=True, slots=True)
class Series:
    """Parts each of which waits for the whole of the one before."""

    parts: "tuple[Plan, ...]"


@dataclass(frozen=True, slots=True)
class Parallel:
    """Branches that do not wait for each other."""

    branches: "tuple[Plan, ...]"


@dataclass(frozen=True, slots=True)
class Gated:
    """Segments whose order only the graph knows; the ledger sends each when it may start."""

    segments: "tuple[Plan, ...]"


Plan = Step | Series | Parallel | Gated


def series(parts: Iterable[Plan]) -> Plan:
    """Return parts one after the other; a series within is spliced, a single part is itself."""
    flat = [
        inner for part in parts for inner in (part.parts if isinstance(part, Series) else (part,))
    ]
    return flat[0] if len(flat) == 1 else Series(tuple(flat))


def parallel(branches: Iterable[Plan]) -> Plan:
    """Return branches side by side; a parallel within is spliced, a single branch is itself."""
    flat = [
        inner
        for branch in branches
        for inner in (branch.branches if isinstance(branch, Parallel) else (branch,))
    ]
    return flat[0] if len(flat) == 1 else Parallel(tuple(flat))


def steps_in(plan: Plan) -> Iterator[str]:
    """Yield the ids of the steps of a plan."""
    match plan:
        case Step(step_id):
            yield step_id
        case Series(plans) | Parallel(plans) | Gated(plans):
            for inner in plans:
                yield from steps_in(inner)
