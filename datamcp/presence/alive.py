"""Heartbeat files: a health check needs no more than the age of one.

`<state folder>/alive/<process id>` is touched every few seconds while the process lives, whether
or not broker and database answer: to start it anew would not bring those back.
"""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

FOLDER = "alive"


class AliveFile:
    """The heartbeat file of one process."""

    def __init__(self, state_dir: Path, process_id: str) -> None:
        """Take the state folder and the name of the process."""
        self.path = state_dir / FOLDER / process_id.replace("/", "_")

    def touch(self) -> None:
        """Make the file, or make it young again; raises OSError where it can't be written."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()

    def remove(self) -> None:
        """Remove the file; it is fine if it is gone."""
        with suppress(OSError):
            self.path.unlink()


def remove_old(state_dir: Path, now: datetime, age: timedelta) -> None:
    """Remove the files of processes that could not do so themselves."""
    for path in (state_dir / FOLDER).glob("*"):
        with suppress(OSError):  # another one was faster
            if now - datetime.fromtimestamp(path.stat().st_mtime, UTC) > age:
                path.unlink()
