"""Ending a stack from outside: `datamcp down`."""

import signal
from pathlib import Path

from datamcp.config.stack import is_running
from datamcp.errors import StackError
from datamcp.infra.identity import await_end, is_same, send
from datamcp.stack.record import StackRecord, read_running

_LAST_WORD = 20.0  # seconds for what is left once the workers are gone


def end(folder: Path, timeout: float | None) -> StackRecord | None:
    """End the stack that runs from a folder, and wait until it is gone; return what it was.

    None if none runs. Its workers have `timeout` seconds for what they run, or as many as the
    stack was started with. Raises StackError if it can't be ended from here.
    """
    record = read_running(folder)
    if record is None:
        if is_running(folder):
            raise StackError(f"the stack of {folder} is only starting; try again in a moment")
        return None
    if not is_same(record.pid, record.birth):
        raise StackError(
            f"the stack of {folder} (pid {record.pid} of {record.host}) is no process of this "
            "machine or container; end it where it runs"
        )
    _terminate(record)
    if not _await_end(record, timeout):
        raise StackError(
            f"the stack (pid {record.pid}) does not end; its logs are in {record.logs}"
        )
    return record


def _terminate(record: StackRecord) -> None:
    try:
        send(record.pid, record.birth, signal.SIGTERM)
    except PermissionError as error:
        raise StackError(f"the stack (pid {record.pid}) belongs to another user") from error


def _await_end(record: StackRecord, timeout: float | None) -> bool:
    """Wait for the end, the second half of it in haste if a timeout was given."""
    if timeout is None:
        return await_end(record.pid, record.birth, record.stop_timeout + _LAST_WORD)
    if await_end(record.pid, record.birth, timeout):
        return True
    _terminate(record)  # a second time: it cuts its waiting short
    return await_end(record.pid, record.birth, _LAST_WORD)
