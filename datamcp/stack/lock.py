"""One stack for each state folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from datamcp.config.stack import LOCK_FILE
from datamcp.errors import ConfigError
from datamcp.stack.record import read

_TRIES, _PAUSE = 10, 0.05  # somebody may just be looking whether a stack runs


class StackLock:
    """The lock of a state folder, which is held."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Take where it is, and the file that is locked."""
        self._path = path
        self._descriptor = descriptor

    @property
    def is_void(self) -> bool:
        """Whether the folder was removed, or emptied: then another stack may take its place."""
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return True
        except OSError:  # the disk is in trouble; that is not the same
            return False


@contextmanager
def sole_stack(folder: Path) -> Iterator[StackLock]:
    """Make the state folder ours while the block runs; the system ends that if we are killed.

    Raises ConfigError if another stack runs from it, or it can't be written to.
    """
    try:
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK_FILE).open("a", encoding="utf-8")
    except OSError as error:
        message = f"system.state_dir: {folder} can't be written to: {error.strerror}"
        raise ConfigError(message) from error
    with lock:
        try:
            _acquire(lock.fileno())
        except BlockingIOError as error:
            raise already_runs(folder) from error
        except OSError as error:
            message = f"system.state_dir: {folder} knows no locks: {error.strerror}"
            raise ConfigError(message) from error
        yield StackLock(folder / LOCK_FILE, lock.fileno())


def already_runs(folder: Path) -> ConfigError:
    """Return the refusal of a second stack."""
    record = read(folder)
    owner = "" if record is None else f" (pid {record.pid})"
    return ConfigError(f"a stack already runs from {folder}{owner}; `datamcp down` stops it")


def _acquire(descriptor: int) -> None:
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            Event().wait(_PAUSE)
        else:
            return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
