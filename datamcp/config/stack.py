"""What a running stack says about itself in its state folder.

`datamcp demo` leaves `stack.json` there while it runs, so that other commands in the same folder
find its broker and database. Its settings are weaker than any that a user made.
"""

import json
import os
from pathlib import Path
from typing import Any

from datamcp.config.layer import Entry, Layer, Origin, OriginKind, Rank, SettingPath
from datamcp.errors import Problem

STACK_FILE = "stack.json"

_LIMIT = 64 * 1024
_SETTINGS: dict[str, SettingPath] = {
    "broker_url": ("broker", "url"),
    "database_url": ("storage", "database_url"),
    "cache_url": ("storage", "cache_url"),
}


def read_stack(state_dir: Path, name: str) -> tuple[Layer, list[Problem]]:
    """Return the settings of the stack that runs from this folder, if one does.

    A file that cannot be read is ignored with a warning; one whose process is gone, silently. A
    process id that was used again for another program is not noticed.
    """
    path = state_dir / STACK_FILE
    try:
        content = _parse(path)
    except (FileNotFoundError, NotADirectoryError):
        return Layer(Rank.RUNNING_STACK), []
    except (OSError, ValueError, RecursionError):
        return Layer(Rank.RUNNING_STACK), [Problem("", f"{name}: is no record of a stack; ignored")]
    if not _is_alive(content.get("pid")):
        return Layer(Rank.RUNNING_STACK), []
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


def _is_alive(pid: object) -> bool:
    if not isinstance(pid, int) or isinstance(pid, bool) or pid < 1:
        return False
    try:
        os.kill(pid, 0)  # signal 0 only asks whether the process is there
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True
