"""What a page is made of: markup in which every text is escaped, and numbers for people. Pure.

A `str` is a text, which may come from anywhere; only what `tag` and `joined` made is markup.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from math import ceil
from typing import Any

from pydantic_core import to_json

_UNSHOWN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_VOID = frozenset({"input", "meta"})
_SHAPES = frozenset({"circle", "line", "path", "polygon", "rect", "use"})
_UNITS = ("B", "kB", "MB", "GB", "TB")


class Html(str):
    """Text that is markup already: made by `tag` and `joined`, and nowhere else."""

    __slots__ = ()


Content = str | None

TIMES = "\N{MULTIPLICATION SIGN}"


def shown(text: str) -> Html:
    """Return any text as markup that shows it; what is invisible, or turns text round, is marked."""
    if isinstance(text, Html):
        return text
    clean = _UNSHOWN.sub("\ufffd", text).encode(errors="replace").decode()
    return Html(escape(clean))


def joined(parts: Iterable[Content], between: str = "") -> Html:
    """Return parts one after the other; texts are escaped, and what is None is left out."""
    return Html(shown(between).join(shown(part) for part in parts if part is not None))


def tag(name: str, /, *content: Content, **attributes: Any) -> Html:
    """Return an element. Attributes that are None are left out; `_` in a name stands for `-`.

    A name that is Python's own has a `_` at its end, such as `class_`.
    """
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{shown(number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{said}>")
    inner = joined(content)
    if not inner and name in _SHAPES:
        return Html(f"<{name}{said}/>")
    return Html(f"<{name}{said}>{inner}</{name}>")


def number(value: Any) -> str:
    """Return a coordinate as briefly as a screen can tell; anything else as its text."""
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return value if isinstance(value, str) else str(value)


def cut(text: str, length: int) -> str:
    """Return a text of at most so many characters; an ellipsis stands for its middle."""
    if len(text) <= length:
        return text
    tail = (length - 1) // 3
    return f"{text[: length - 1 - tail]}…{text[len(text) - tail :]}"


def as_json(value: Any) -> str:
    """Return a value as JSON; a text as itself."""
    return value if isinstance(value, str) else to_json(value, inf_nan_mode="null").decode()


def seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    """Return the seconds from one instant to another, not below 0; None if one is missing."""
    if start is None or end is None:
        return None
    return max(0.0, (end - start).total_seconds())


def length(seconds: float | None) -> str:
    """Return a length of time for people, such as `45 ms`, `1.24 s` or `3 min 05 s`."""
    if seconds is None:
        return ""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def rough_length(seconds: float) -> str:
    """Return a length that is only estimated: `about 5 min`."""
    if seconds < 60:
        return f"about {max(1, ceil(seconds))} s"
    if seconds < 5_400:
        return f"about {ceil(seconds / 60)} min"
    return f"about {length(seconds)}"


def count(value: float | None) -> str:
    """Return a number of things with its thousands apart; empty for None."""
    return "" if value is None else f"{value:,}"


def size(value: float | None) -> str:
    """Return a number of bytes for people; empty for None."""
    if value is None:
        return ""
    step = 0
    while value >= 999.5 and step < len(_UNITS) - 1:
        value, step = value / 1000, step + 1
    return f"{value:.0f} B" if not step else f"{value:.3g} {_UNITS[step]}"


def instant(value: datetime | None) -> Html | None:
    """Return an instant, to the second, in UTC."""
    if value is None:
        return None
    utc = value.astimezone(UTC)
    return tag("time", f"{utc:%Y-%m-%d %H:%M:%S}", datetime=f"{utc:%Y-%m-%dT%H:%M:%S.%fZ}")


def clock_time(value: datetime | None, day: datetime) -> Html | None:
    """Return an instant by its hour, and with its date if that is not this day's."""
    if value is None:
        return None
    utc = value.astimezone(UTC)
    form = "%H:%M:%S" if utc.date() == day.astimezone(UTC).date() else "%m-%d %H:%M:%S"
    return tag("time", utc.strftime(form), datetime=f"{utc:%Y-%m-%dT%H:%M:%S.%fZ}")
