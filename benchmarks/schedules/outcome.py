"""What a run found: plain values, in and out of JSON."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FORMAT = "schedules 1"


@dataclass(slots=True, kw_only=True)
class Found:
    """One side; a value for each round."""

    seen_within: str
    """How long it takes until the beat knows of a change."""
    missing: str | None = None
    """The package that is not installed, for which there are no values."""
    settings: dict[str, Any] = field(default_factory=dict)
    first: list[float | None] = field(default_factory=list)
    """Seconds from the due instant to the first message; None if none came."""
    last: list[float | None] = field(default_factory=list)
    """Seconds from the due instant to the last message; None if it did not come in time."""
    sent: list[int] = field(default_factory=list)
    """Messages that were there then."""
    others: list[float] = field(default_factory=list)
    """CPUs that strangers used while it sent."""
    idle: list[float] = field(default_factory=list)
    """Cores that the beat uses while nothing is due."""
    idle_servers: list[float] = field(default_factory=list)
    """Cores that broker and PostgreSQL use meanwhile."""
    memory: list[int] = field(default_factory=list)
    """Bytes in memory of the beat, while nothing is due."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """A whole run."""

    started_at: str  # ISO 8601, UTC
    revision: str
    count: int
    due: int
    idle: float
    """Seconds for which an idle beat was watched."""
    patience: float
    """Seconds that a side had to send."""
    rounds: int
    load_before: list[float]
    load_after: list[float] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)
    sides: dict[str, Found] = field(default_factory=dict)
    format: str = FORMAT

    def to_json(self) -> str:
        """Return it as JSON text."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"


def load(path: Path) -> Outcome:
    """Read what an earlier run has written; raises ValueError for anything else."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(kept, dict) or kept.get("format") != FORMAT:
        raise ValueError(f"{path} holds no figures of format {FORMAT}")
    sides = {name: Found(**side) for name, side in kept.pop("sides").items()}
    return Outcome(**kept, sides=sides)
