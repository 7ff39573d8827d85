"""Keeps the logs of processes that run for weeks within bounds.

A process writes to its log itself, at the file's end wherever that is, so nothing stands between
the two that could hold the process up: not a supervisor that is stopped, nor a pipe that is full.
So a log that is too long is copied and cut, as logrotate's `copytruncate` does; what is written in
the instant between is lost. At a start nobody writes, and the logs are renamed.
"""

import shutil
from contextlib import suppress
from pathlib import Path

LIMIT = 10 * 1024 * 1024  # bytes of one log
KEPT = 3  # older ones

STACK_LOG = "stack.log"
"""The log of the stack itself, where it runs in the background: open before it starts."""


def begin(folder: Path) -> None:
    """Let every process of a new stack begin a new log."""
    for path in folder.glob("*.log"):
        if path.name != STACK_LOG:
            rename(path)


def rename(path: Path) -> None:
    """Put a log that nobody writes to aside."""
    with suppress(OSError):
        if path.stat().st_size:
            _shift(path)
            path.rename(_older(path, 1))


def bound(folder: Path, limit: int = LIMIT) -> list[Path]:
    """Put aside the contents of logs that are too long; return those that could only be cut."""
    cut = []
    for path in folder.glob("*.log"):
        with suppress(FileNotFoundError):
            if path.stat().st_size > limit and not _copy_and_cut(path):
                cut.append(path)
    return cut


def _copy_and_cut(path: Path) -> bool:
    """Make a log empty; tell whether its contents could be kept."""
    copy = _older(path, 1)
    with path.open("r+b") as log:
        try:
            _shift(path)
            with copy.open("wb") as kept:
                shutil.copyfileobj(log, kept)
        except OSError:  # the disk is full, most likely
            with suppress(OSError):
                copy.unlink()
            return False
        finally:
            log.truncate(0)
        return True


def _shift(path: Path) -> None:
    """Make room for one more older log; the oldest goes."""
    for number in range(KEPT, 1, -1):
        with suppress(FileNotFoundError):
            _older(path, number - 1).rename(_older(path, number))


def _older(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
