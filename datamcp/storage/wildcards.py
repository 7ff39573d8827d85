"""Patterns for many files: where they begin, and what they find.

`*` and `?` stand for letters of a name, `[…]` for one of several, `**` for any folders. As in a
shell, names that begin with a dot are found by patterns only that name the dot.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path, PurePosixPath

from datamcp.errors import ProcessingError

MOST_FILES = 5000
"""How many files a pattern may find."""

_WILD = frozenset("*?[")


def is_pattern(path: str) -> bool:
    """Tell whether a path, or a part of one, stands for many."""
    return bool(_WILD & set(path))


def split_pattern(pattern: str) -> tuple[str, str]:
    """Return the folder that a pattern begins with, and the rest, both without the slash between."""
    parts = pattern.split("/")
    place = next(number for number, part in enumerate(parts) if is_pattern(part))
    rest = parts[place:]
    return "/".join(parts[:place]), "/".join([*rest, "*"] if rest[-1] == "**" else rest)


def files_below(folder: Path, rest: str) -> list[str]:
    """Return the files that a pattern finds in a folder, relative to it, sorted.

    ProcessingError for a pattern that is none, and for one that finds too many.
    """
    try:
        found = (path.relative_to(folder).as_posix() for path in _files(folder, rest))
        return limited(shown(found, rest), rest)
    except (ValueError, NotImplementedError) as error:
        raise ProcessingError(f"{rest!r} is no pattern: {error}") from error
    except OSError as error:
        raise ProcessingError(f"cannot read {str(folder)!r}: {error.strerror}") from error


def shown(names: Iterable[str], rest: str) -> Iterator[str]:
    """Yield those names of which no part is hidden, unless the pattern asks for hidden ones."""
    if any(part.startswith(".") for part in PurePosixPath(rest).parts):
        yield from names
        return
    for name in names:
        if not any(part.startswith(".") for part in PurePosixPath(name).parts):
            yield name


def limited(names: Iterator[str], rest: str) -> list[str]:
    """Return the names, sorted; ProcessingError if there are more than `MOST_FILES`."""
    found = list(islice(names, MOST_FILES + 1))
    if len(found) > MOST_FILES:
        raise ProcessingError(f"{rest!r} finds more than {MOST_FILES:,} files; narrow it down")
    return sorted(found)


def _files(folder: Path, rest: str) -> Iterator[Path]:
    return (path for path in folder.glob(rest) if path.is_file())
