"""What a stack left that was killed: its record, and perhaps processes.

On Linux its processes end with it. Elsewhere they may go on, and are ended here, those that are
still the ones that the record means.
"""

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from datamcp.infra.identity import await_end, is_same
from datamcp.presence.alive import AliveFile
from datamcp.stack.process import Kind
from datamcp.stack.record import ProcessRecord, StackRecord, read, remove

_END_TIMEOUT = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What was found: how many processes were ended, and whose tasks are to be given back."""

    ended: int = 0
    owed: tuple[str, ...] = ()


def clear(folder: Path) -> Leftovers | None:
    """Clear away what the last stack of a folder left; None if it ended in order.

    The caller holds the folder's lock.
    """
    record = read(folder)
    if record is None:
        return None
    ended = [process for process in record.processes if _end(process)]
    for process_id in _process_ids(record):
        AliveFile(folder, process_id).remove()
    owed = {*record.owed, *_process_ids(record)}
    remove(folder)
    return Leftovers(len(ended), tuple(sorted(owed)))


def _process_ids(record: StackRecord) -> list[str]:
    return [process.process_id for process in record.processes if process.process_id]


def _end(process: ProcessRecord) -> bool:
    """End a process with its group, if it still runs."""
    pid = process.pid
    if pid is None or not is_same(pid, process.birth):
        return False
    how = signal.SIGTERM if process.kind is Kind.BROKER else signal.SIGKILL
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, how)
    await_end(pid, process.birth, _END_TIMEOUT)
    return True
