"""Blocks that no signal may cut short, where its handler raises an exception.

Between an UPDATE … RETURNING and its row, SQLite holds its lock. What has the cursor is then in the
traceback, and as long as anybody has that, nobody can write.

A block has these signals wait, as far as its own thread is concerned. Where a process has other
threads, the system gives the signal to one of them, and Python still runs the handler in the main
one; so the handlers of a pool's processes are told to wait, too (`wait_for_blocks`).
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import get_ident, main_thread
from types import FrameType
from typing import Any

from datamcp.infra.green import is_green

DISTURBING = frozenset({signal.SIGTERM, signal.SIGUSR1})
"""A pool's signals: end the process; its time is up."""


class _Composure:
    """How deep the main thread is in such blocks, and what waits for their end."""

    def __init__(self) -> None:
        self.depth = 0
        self.waiting: set[int] = set()


_main = _Composure()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let a signal wait for the end of the block, if its handler raises an exception here."""
    if is_green():  # no signal raises in a greenlet, and the mask would be that of all of them
        yield
        return
    held = signal.pthread_sigmask(signal.SIG_BLOCK, DISTURBING)
    is_main = get_ident() == main_thread().ident
    _main.depth += is_main
    try:
        yield
    finally:
        _main.depth -= is_main
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        if is_main and _main.waiting and not _main.depth:
            waiting, _main.waiting = _main.waiting, set()
            for number in waiting:
                signal.raise_signal(number)


class _Patient:
    """A signal's handler that waits for the end of a block. For the main thread."""

    def __init__(self, handler: Callable[[int, FrameType | None], Any]) -> None:
        self._handler = handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if _main.depth:
            _main.waiting.add(number)
        else:
            self._handler(number, frame)


def wait_for_blocks(
    number: signal.Signals, handler: Callable[[int, FrameType | None], Any] | None = None
) -> None:
    """Have a signal's handler wait for the end of blocks: this one, or the one that it has.

    Costs nothing where it does already.
    """
    present = signal.getsignal(number)
    if isinstance(present, _Patient):
        return
    chosen = present if handler is None else handler
    if callable(chosen):
        signal.signal(number, _Patient(chosen))
