"""Suggestions for names that are nearly right. Pure."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest known name, or nothing if none is near."""
    near = get_close_matches(name, list(names), n=1, cutoff=0.6)
    return f"; did you mean {str(near[0])!r}?" if near else ""
