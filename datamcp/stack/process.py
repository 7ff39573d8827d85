"""What a stack runs."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from datamcp.infra.celery import nodename

BROKER = "valkey"

_CELERY = (sys.executable, "-m", "celery", "-A", "datamcp")


class Kind(StrEnum):
    """What a process of a stack is there for."""

    WORKER = "worker"
    BEAT = "beat"
    FLOWER = "flower"
    BROKER = "broker"


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the stack: its name, its command line, and settings of its own.

    `node` is what its node name starts with, under which it claims tasks and reports itself.
    """

    name: str
    kind: Kind
    argv: Sequence[str]
    node: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def pool(self) -> str | None:
        """The agent type that it serves, or `pipelines`; None if it is no worker."""
        return self.node if self.kind is Kind.WORKER else None

    def process_id(self, pid: int) -> str | None:
        """Return its name in the ledger; None if it reports nothing there."""
        return None if self.node is None else nodename(self.node, pid)


def broker() -> Process:
    """Return the embedded broker, which knows its command line itself."""
    return Process(BROKER, Kind.BROKER, ())


def worker(pool: str, concurrency: int | None = None) -> Process:
    """Return the worker of one agent type, or of `pipelines`; its slots as configured, if unsaid."""
    options = () if concurrency is None else ("--concurrency", str(concurrency))
    # An agent type may be called like another process.
    name = f"{pool}-worker" if pool in {*Kind, BROKER, "stack"} else pool
    return Process(name, Kind.WORKER, (*_CELERY, "worker", "--agent", pool, *options), node=pool)


def beat() -> Process:
    """Return beat."""
    options = ("beat", "--loglevel", "INFO", "--pidfile", "")
    return Process("beat", Kind.BEAT, (*_CELERY, *options), node="beat")


def flower(port: int) -> Process:
    """Return Flower; its address and its password are those of the configuration."""
    settings = {"monitoring.flower_port": str(port)}
    return Process("flower", Kind.FLOWER, (*_CELERY, "flower"), settings=settings)
