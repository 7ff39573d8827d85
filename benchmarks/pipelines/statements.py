"""Which statements a step takes: what processes wrote down while they were counted."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

_SHOWN = 25  # statements
_WIDTH = 200  # characters of one
_OWN = b"= commit"  # the mark of a commit, which stands beside its COMMIT

_LISTS = re.compile(r"\((?:\s*%\(\w+\)s(?:::\w+)?\s*,?)+\)")
_VALUES = re.compile(r"%\(\w+\)s(?:::\w+)?|\$\d+")
_COLUMNS = re.compile(r"(?<=SELECT ).*?(?= FROM )|(?<= RETURNING ).*$")


def per_step(files: Iterable[tuple[Path, int]], steps: int) -> dict[str, float]:
    """Return how often each statement came per step, the most frequent first.

    The files are those that were counted into, each with where to begin. Statements that differ
    in values alone are one.
    """
    counts: Counter[str] = Counter()
    for path, mark in files:
        if path.exists():
            lines = path.read_bytes()[mark:].splitlines()
            counts.update(_shortened(line.decode()) for line in lines if line != _OWN)
    return {text: round(count / steps, 3) for text, count in counts.most_common(_SHOWN)}


def _shortened(statement: str) -> str:
    text = _VALUES.sub("?", _LISTS.sub("(…)", statement))
    return _COLUMNS.sub("…", text)[:_WIDTH]
