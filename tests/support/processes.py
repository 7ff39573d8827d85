"""Looking at processes from outside, ending them at once, and a parent that can be killed."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from datamcp.infra.processes import Exit, Supervisor


class Killer(Supervisor):
    """Ends its processes in no time, in no order: an orderly end is for tests that ask for it."""

    def stop_all(self, timeout: float | None = 0) -> list[Exit]:
        """Kill first what they have started, which otherwise stays until the system takes notice."""
        slots: list[psutil.Process] = []
        for child in self._children.values():
            with suppress(psutil.NoSuchProcess):
                slots += psutil.Process(child.pid).children() if child.is_alive else []
        for slot in slots:
            with suppress(psutil.NoSuchProcess):
                slot.kill()
        psutil.wait_procs(slots, timeout=1)
        return super().stop_all(timeout)


def is_running(pid: int) -> bool:
    """Tell whether a process exists and is not just waiting to be reaped."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def python(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a Python program, to be read from and killed by the test."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        with process:
            yield process
    finally:
        process.kill()
