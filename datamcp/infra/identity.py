"""Telling one process from another that later has the same id.

The system gives ids of processes again, so a number that was written down may mean a stranger by
now. When the process was started tells them apart; Linux knows it by the boot and to a hundredth of
a second, elsewhere `ps` tells it to the second.

Source: proc_pid_stat(5), pidfd_open(2).
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_LOOK = 0.05  # seconds
_START_FIELD = 19  # of /proc/PID/stat, behind the name


def birth(pid: int) -> str | None:
    """Return when a process was started, in words of the system; None if it has ended."""
    return _birth_on_linux(pid) if sys.platform == "linux" else _birth_elsewhere(pid)


def is_same(pid: int, born: str | None) -> bool:
    """Tell whether the process that was born then still has this id."""
    return born is not None and birth(pid) == born


def send(pid: int, born: str | None, signum: signal.Signals) -> bool:
    """Send a signal to that very process; tell whether it was there."""
    if sys.platform != "linux":
        if not is_same(pid, born):
            return False
        os.kill(pid, signum)
        return True
    try:
        held = os.pidfd_open(pid)  # from here on the process may end, but not be confused
    except ProcessLookupError:
        return False
    try:
        if not is_same(pid, born):
            return False
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(held, signum)
        return True
    finally:
        os.close(held)


def await_end(pid: int, born: str | None, timeout: float) -> bool:
    """Wait at most `timeout` seconds for the end of that process; tell whether it has ended."""
    deadline = time.monotonic() + timeout
    while is_same(pid, born):
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK)  # noqa: TID251  nobody tells us when a stranger's child is gone
    return True


def _birth_on_linux(pid: int) -> str | None:
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes().decode(errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    fields = status.rpartition(")")[2].split()  # the name may hold anything, brackets too
    return None if fields[0] in {"Z", "X"} else f"{boot} {fields[_START_FIELD]}"


def _birth_elsewhere(pid: int) -> str | None:
    asked = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = asked.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()
