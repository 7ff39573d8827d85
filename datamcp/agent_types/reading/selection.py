"""Chosen fields of a value as a table of facts. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datamcp.agent_types.reading.facts import fact
from datamcp.agent_types.reading.markup import inline, row_of
from datamcp.errors import ProcessingError
from datamcp.types import JSONValue


@dataclass(frozen=True, slots=True)
class Choice:
    """One field: its label, its path in the value, and whether its number is shown in percent.

    A path is names and, in lists, places from 0, between dots: `worst.0.value`.
    """

    label: str
    path: str
    is_percent: bool = False


def selected(value: JSONValue, choices: Sequence[Choice]) -> list[str]:
    """Return the lines of a table with a row for each choice; empty where the value has null.

    A list is shown as its values, a mapping as names and values. Raises ProcessingError for a path
    that leads nowhere, or to what is nested deeper.
    """
    rows = [row_of([inline(one.label), _shown(one, _at(value, one))]) for one in choices]
    return [row_of(["fact", "value"]), row_of(["---", "---"]), *rows, ""]


def _at(value: JSONValue, choice: Choice) -> Any:
    found: Any = value
    for name in choice.path.split("."):
        match found:
            case None:
                return None
            case Mapping() if name in found:
                found = found[name]
            case Sequence() if not isinstance(found, str) and name.isdecimal():
                found = found[int(name)] if int(name) < len(found) else None
            case _:
                raise _leads_nowhere(choice, name, found)
    return found


def _leads_nowhere(choice: Choice, name: str, found: Any) -> ProcessingError:
    there = ", ".join(found) if isinstance(found, Mapping) else "no fields"
    return ProcessingError(
        f"fact {choice.label!r}: no {name!r} for {choice.path!r}; there are {there}"
    )


def _shown(choice: Choice, found: Any) -> str:
    if choice.is_percent and found is not None:
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise ProcessingError(
                f"fact {choice.label!r}: {choice.path!r} is no number for percent"
            )
        return percent(found)
    parts = list(found.values()) if isinstance(found, Mapping) else found
    if isinstance(parts, list) and any(isinstance(one, Mapping | list) for one in parts):
        raise ProcessingError(f"fact {choice.label!r}: {choice.path!r} is nested too deep")
    if isinstance(found, Mapping):
        return "; ".join(f"{inline(name)}: {fact(one)}" for name, one in found.items())
    return fact(found)


def percent(part: float) -> str:
    """Return a fraction in percent, with two digits below ten and one above."""
    hundredths = 100 * part
    return f"{hundredths:,.2f} %" if abs(hundredths) < 10 else f"{hundredths:,.1f} %"
