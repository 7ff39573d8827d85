"""Which files of a folder a pattern means: `*` and `?` within a name, `**` for any folders. Pure."""

import re
from collections.abc import Callable
from fnmatch import translate
from functools import cache
from pathlib import PurePosixPath

_MARKS = frozenset("*?[")


def is_pattern(path: str) -> bool:
    """Tell whether a path is a pattern for many."""
    return not _MARKS.isdisjoint(path)


def divided(pattern: str) -> tuple[str, str]:
    """Return the folder that a pattern begins with, `.` if none, and the rest of the pattern."""
    parts = pattern.split("/")
    first = next(index for index, part in enumerate(parts) if is_pattern(part))
    folder = "/".join(parts[:first])
    is_root = first > 0 and not folder
    return "/" if is_root else folder or ".", "/".join(parts[first:])


def matcher(pattern: str) -> Callable[[str], bool]:
    """Return what tells whether a path, relative to the pattern's folder, is meant."""
    wanted = [part if part == "**" else re.compile(translate(part)) for part in pattern.split("/")]

    def matches(path: str) -> bool:
        parts = PurePosixPath(path).parts

        @cache
        def from_here(place: int, at: int) -> bool:
            if at == len(wanted):
                return place == len(parts)
            one = wanted[at]
            if isinstance(one, str):
                return from_here(place, at + 1) or (place < len(parts) and from_here(place + 1, at))
            return (
                place < len(parts)
                and one.match(parts[place]) is not None
                and from_here(place + 1, at + 1)
            )

        return from_here(0, 0)

    return matches
