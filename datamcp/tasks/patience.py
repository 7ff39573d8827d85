"""Trying again while the database is away, for what may safely be done twice (protocol R2)."""

from collections.abc import Callable, Sequence
from threading import Event
from typing import TypeVar

from datamcp.errors import BackendUnavailable

T = TypeVar("T")


def patiently(
    act: Callable[[], T], pauses: Sequence[float], tell: Callable[[BackendUnavailable], None]
) -> T:
    """Act until the database answers, at most once more than there are pauses (seconds).

    Each failure but the last is told; the last one is raised.
    """
    for pause in pauses:
        try:
            return act()
        except BackendUnavailable as error:
            tell(error)
            Event().wait(pause)
    return act()
