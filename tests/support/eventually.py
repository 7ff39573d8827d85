"""The one loop that waits for a real process."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(check: Callable[[], T], *, timeout: float = 60.0, interval: float = 0.02) -> T:
    """Call `check` until it returns something true, and return that.

    An AssertionError counts as not yet. After `timeout` seconds the last one is raised, or one
    that says what the last call returned.
    """
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() >= deadline
        try:
            outcome = check()
        except AssertionError:
            if late:
                raise
        else:
            if outcome:
                return outcome
            assert not late, f"still {outcome!r} after {timeout:g} s"
        time.sleep(interval)  # noqa: TID251  the one polling loop of the tests
