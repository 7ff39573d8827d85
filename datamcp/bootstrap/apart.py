"""What is done to a remote artifact store in a process of its own, `datamcp.bootstrap.errand`.

A worker's main process forks, and its rounds wait for nobody: it never opens such a store itself.
"""

import subprocess
import sys

from datamcp.clock import Clock
from datamcp.errors import BackendUnavailable, ConfigError
from datamcp.storage.store import Artifacts

_PATIENCE = 30.0  # seconds that a start waits for the store
_BETWEEN = 3600.0  # seconds from one cleaning to the next


def require_artifacts(artifacts: Artifacts) -> None:
    """Make sure that the store can be used; a remote one is asked.

    Raises ConfigError, or BackendUnavailable if it does not answer in time.
    """
    artifacts.require()
    if not artifacts.is_remote:
        return
    try:
        asked = subprocess.run(
            _command("probe"), capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BackendUnavailable("artifact store", f"no answer in {_PATIENCE:g} s") from error
    told = (asked.stderr.strip().splitlines() or ["it can't be asked"])[-1]
    if asked.returncode == BackendUnavailable.exit_code:
        raise BackendUnavailable("artifact store", told)
    if asked.returncode:
        raise ConfigError(told)


class Cleaner:
    """Has the store cleaned now and then; what goes wrong is told on stderr, and tried again."""

    def __init__(self, clock: Clock) -> None:
        """Take the clock."""
        self._clock = clock
        self._last = float("-inf")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin to clean, unless it is too early, or the last cleaning goes on; wait for nothing."""
        now = self._clock.monotonic()
        is_at_work = self._process is not None and self._process.poll() is None
        if is_at_work or now < self._last + _BETWEEN:
            return
        self._last = now
        self._process = subprocess.Popen(_command("clean"), stdin=subprocess.DEVNULL)


def _command(verb: str) -> list[str]:
    return [sys.executable, "-m", "datamcp.bootstrap.errand", verb]
