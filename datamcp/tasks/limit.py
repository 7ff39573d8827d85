"""How many tasks of a type may run at once, and how often one may start. Pure.

A limit holds across all workers. With `per` it holds for each value of one parameter by itself.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from pydantic_core import to_json

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_RATE = re.compile(r"(\d+(?:\.\d+)?)/([smhd])")
_MAX_KEY = 240  # characters of a key that the ledger keeps, with room for a prefix

NAP = 0.25
"""Seconds that a slot waits for a task's turn; what has to wait longer leaves the slot."""

MOST_TOGETHER = 500
"""Tasks that one message may name."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `max_running` at once, and `spacing` seconds between two starts; for each `per`."""

    max_running: int | None = None
    spacing: float | None = None
    per: str | None = None
    default: Any = None  # of the parameter `per`, where a task does not name it

    def key(self, task_type: str, parameters: Mapping[str, Any]) -> str:
        """Return what tasks have in common that share this limit."""
        if self.per is None:
            return task_type
        value = to_json(parameters.get(self.per, self.default), inf_nan_mode="constants").decode()
        key = f"{task_type} {self.per}={value}"
        if len(key) <= _MAX_KEY:
            return key
        return f"{key[: _MAX_KEY - 33]}…{sha256(key.encode()).hexdigest()[:32]}"

    def room(self, running: int, wait: float) -> int | None:
        """Return how many more may start in a moment; None for any number.

        `wait` is how many seconds the next start has to wait for its turn.
        """
        rooms = []
        if self.max_running is not None:
            rooms.append(max(0, self.max_running - running))
        if self.spacing is not None:
            rooms.append(0 if wait > NAP else 1 + int((NAP - max(0.0, wait)) / self.spacing))
        return min(rooms, default=None)


def spacing_of(rate: str) -> float:
    """Return the seconds between two starts at a rate such as `10/m`; raises ValueError."""
    found = _RATE.fullmatch(rate) if isinstance(rate, str) else None
    count = 0.0 if found is None else float(found[1])
    if found is None or count <= 0:
        raise ValueError(f"rate must be like '10/m' (a number per s, m, h or d), got {rate!r}")
    return _SECONDS[found[2]] / count
