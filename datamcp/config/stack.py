"""What a running stack says about itself in its state folder.

`datamcp up` and `datamcp demo` leave `stack.json` there while they run, so that other commands in
the same folder find their broker and database. Its settings are weaker than any that a user made.
It counts only while its stack holds the lock beside it, which ends with that process, however it
ends.
"""

import fcntl
import json
from pathlib import Path
from typing import Any

from datamcp.config.layer import Entry, Layer, Origin, OriginKind, Rank, SettingPath
from datamcp.errors import Problem

STACK_FILE = "stack.json"
LOCK_FILE = "stack.lock"

_LIMIT = 64 * 1024
_SETTINGS: dict[str, SettingPath] = {
    "broker_url": ("broker", "url"),
    "database_url": ("storage", "database_url"),
    "cache_url": ("storage", "cache_url"),
}


def is_running(state_dir: Path) -> bool:
    """Tell whether a stack runs from this folder, or is about to."""
    try:
        with (state_dir / LOCK_FILE).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def read_stack(state_dir: Path, name: str) -> tuple[Layer, list[Problem]]:
    """Return the settings of the stack that runs from this folder, if one does.

    A file that cannot be read is ignored with a warning; one whose stack is gone, silently.
    """
    if not is_running(state_dir):
        return Layer(Rank.RUNNING_STACK), []
    path = state_dir / STACK_FILE
    try:
        content = _parse(path)
    except (FileNotFoundError, NotADirectoryError):
        return Layer(Rank.RUNNING_STACK), []
    except (OSError, ValueError, RecursionError):
        return Layer(Rank.RUNNING_STACK), [Problem("", f"{name}: is no record of a stack; ignored")]
    origin = Origin(OriginKind.RUNNING_STACK, name)
    entries = tuple(
        Entry(setting, content[key], origin)
        for key, setting in _SETTINGS.items()
        if isinstance(content.get(key), str)
    )
    return Layer(Rank.RUNNING_STACK, entries), []


def _parse(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        content = json.loads(file.read(_LIMIT))
    if not isinstance(content, dict):
        raise ValueError("not an object")  # noqa: TRY004  it is the file that is wrong
    return content
