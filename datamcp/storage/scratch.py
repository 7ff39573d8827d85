"""Folders for what a process needs for a while; those of processes that are gone are removed.

Each process that asks has a folder of its own, and holds a lock for as long as it lives. Whoever
makes one looks for folders whose lock nobody holds: their processes were killed.
"""

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path
from threading import Lock

from datamcp.storage.atomic import disk_errors
from datamcp.types import new_token

_LOCK = ".lock"


class Scratch:
    """Gives each process a folder of its own below one, when it first asks. Safe to share."""

    def __init__(self, root: Path) -> None:
        """Take the folder that holds all; nothing is made."""
        self._root = root
        self._mutex = Lock()
        self._mine: tuple[int, Path, int] | None = None  # pid, folder, the lock's descriptor

    def folder(self) -> Path:
        """Return this process's folder; it is made, and those of the dead removed.

        ProcessingError or BackendUnavailable, as for any file that can't be written.
        """
        with self._mutex:
            if self._mine is None or self._mine[0] != os.getpid():
                with disk_errors(self._root):
                    self._root.mkdir(parents=True, exist_ok=True)
                    self._sweep()
                    self._mine = (os.getpid(), *self._make())
            return self._mine[1]

    def close(self) -> None:
        """Remove this process's folder."""
        with self._mutex:
            mine, self._mine = self._mine, None
        if mine is not None and mine[0] == os.getpid():
            _remove(mine[1])
            os.close(mine[2])

    def _make(self) -> tuple[Path, int]:
        folder = self._root / new_token()
        lock = folder.with_suffix(_LOCK)
        # The lock is there first, and held: a folder without one is nobody's.
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if not lock.exists():  # somebody who swept came in between
            os.close(descriptor)
            return self._make()
        folder.mkdir()
        return folder, descriptor

    def _sweep(self) -> None:
        for lock in self._root.glob(f"*{_LOCK}"):
            with suppress(OSError):  # somebody else sweeps, too
                descriptor = os.open(lock, os.O_RDWR)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove(lock.with_suffix(""))
                finally:
                    os.close(descriptor)


def _remove(folder: Path) -> None:
    """Remove a folder and its lock, which the caller holds."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(_LOCK).unlink(missing_ok=True)
