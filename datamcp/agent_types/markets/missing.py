"""Values that can't be told, and why. Pure."""

from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Missing:
    """Stands for a value that can't be told."""

    reason: str


@dataclass(slots=True)
class Gaps:
    """Collects why fields of a result are null: reasons by the field's name."""

    reasons: dict[str, str] = field(default_factory=dict)

    def fill(self, name: str, found: T | Missing) -> T | None:
        """Return a value, or None after its reason was noted."""
        if isinstance(found, Missing):
            self.reasons[name] = found.reason
            return None
        return found


def too_few(needed: int, there: int, what: str = "rows") -> Missing:
    """Return that a series is too short."""
    return Missing(f"needs {needed:,} {what}, there are {there:,}")
