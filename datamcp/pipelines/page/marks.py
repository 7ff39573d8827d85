"""The states on a page: each has a colour, a symbol and a word, so that none is told by one alone.

Pure. A state that is not known here is neutral.
"""

from collections.abc import Iterable, Mapping

from datamcp.pipelines.page.text import Html, joined, tag

_RING = "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8Z"

SYMBOLS: Mapping[str, str] = {
    "succeeded": "M2.5 8.6 6.3 12.4 13.5 4.4",
    "running": "M4.5 2.8v10.4L13 8Z",
    "retrying": "M13 8a5 5 0 1 1-1.6-3.7M13.2 1.8v3.4H9.8",
    "queued": "M3 4h10M3 8h10M3 12h6",
    "scheduled": f"{_RING}M8 4.6V8l2.4 1.6",
    "failed": "M3.5 3.5l9 9M12.5 3.5l-9 9",
    "timed_out": "M4 2h8M4 14h8M5 2c0 4 6 8 6 12M11 2c0 4-6 8-6 12",
    "cancelled": "M3.5 3.5h9v9h-9Z",
    "skipped": "M3 3.5 7.5 8 3 12.5M8.5 3.5 13 8l-4.5 4.5",
    "upstream_failed": f"{_RING}M3.8 3.8l8.4 8.4",
    "paused": "M5 3v10M11 3v10",
    "": f"{_RING}M8 7.9v.2",
}
"""The line of each symbol, in a square of 16."""

WORST_FIRST = (
    "failed",
    "timed_out",
    "upstream_failed",
    "running",
    "retrying",
    "paused",
    "queued",
    "scheduled",
    "cancelled",
    "skipped",
    "succeeded",
)
"""The states in the order in which they need somebody."""


_DONE_FIRST = (
    "succeeded",
    "skipped",
    "cancelled",
    "upstream_failed",
    "timed_out",
    "failed",
    "running",
    "retrying",
    "paused",
    "queued",
    "scheduled",
)


def kind(state: str) -> str:
    """Return the name under which a state has its colour and symbol; `other` if it has none."""
    return state if state and state in SYMBOLS else "other"


def word(state: str) -> str:
    """Return a state in words."""
    return state.replace("_", " ")


def worst(states: Iterable[str]) -> str:
    """Return the state that needs somebody most; any of those that are not known, else."""
    found = set(states)
    return next((state for state in WORST_FIRST if state in found), min(found, default=""))


def ranked(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return states with their counts: what has ended, what goes on, and what is not known."""
    order = {state: place for place, state in enumerate(_DONE_FIRST)}
    return sorted(counts.items(), key=lambda item: (order.get(item[0], len(order)), item[0]))


def mark(state: str) -> Html:
    """Return a state's symbol, for use in a line of text."""
    used = tag("use", href=f"#i-{kind(state)}")
    return tag("svg", used, class_=f"i s-{kind(state)}", aria_hidden="true")


def badge(state: str) -> Html:
    """Return a state with its symbol, in its colour."""
    return tag("span", mark(state), word(state), class_=f"badge s-{kind(state)}")


def symbols() -> Html:
    """Return the symbols, each once; they are shown where they are used."""
    drawn = (
        tag("symbol", tag("path", d=line), id=f"i-{kind(state)}", viewBox="0 0 16 16")
        for state, line in SYMBOLS.items()
    )
    return tag("svg", joined(drawn), class_="symbols", aria_hidden="true")
