"""The signals that ask a stack to end, as a count instead of an exception.

So nothing is left half done wherever it was just then. A child's death wakes who waits here, too.
"""

import os
import select
import signal
from types import FrameType, TracebackType
from typing import Any, Self

_ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Requests:
    """Requests to end, counted while the block runs. For the main thread."""

    def __init__(self) -> None:
        """Count none yet."""
        self.count = 0
        self.first: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._reader = self._writer = self._old_writer = -1

    def __enter__(self) -> Self:
        """Count from now on. A signal that is ignored, as by `nohup`, stays so."""
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        for signum in _ASKING:
            if signal.getsignal(signum) is not signal.SIG_IGN:
                self._before[signum] = signal.signal(signum, self._note)
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        self._old_writer = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signals back to whoever had them."""
        signal.set_wakeup_fd(self._old_writer)
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        os.close(self._reader)
        os.close(self._writer)

    def obey(self) -> None:
        """Leave, where that was asked for: raise KeyboardInterrupt or, for other signals, SystemExit.

        A handler that raised it would do so anywhere: in a callback, which swallows it, or inside of
        a library in C++, which ends the process at once.
        """
        if self.first is signal.SIGINT:
            raise KeyboardInterrupt
        if self.first is not None:
            raise SystemExit(128 + self.first)

    def wait(self, seconds: float) -> None:
        """Wait for a signal, but no longer than that."""
        if select.select([self._reader], [], [], seconds)[0]:
            os.read(self._reader, 4096)

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        self.count += 1
        self.first = self.first or signal.Signals(signum)
