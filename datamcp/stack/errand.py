"""Asking those who may take long to answer, while somebody else must stay awake."""

from collections.abc import Callable
from threading import Thread
from typing import Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)


class Errand(Generic[T_co]):
    """One call on a thread of its own, which nobody waits for at the end of the process."""

    def __init__(self, act: Callable[[], T_co]) -> None:
        """Start the call."""
        self._act = act
        self._result: list[T_co] = []
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, name="datamcp-errand", daemon=True)
        self._thread.start()

    @property
    def is_done(self) -> bool:
        """Whether the call has ended."""
        return not self._thread.is_alive()

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the call, but no longer than that; tell whether it has ended."""
        self._thread.join(seconds)
        return self.is_done

    def result(self) -> T_co:
        """Return what the call returned, or raise what it raised; it must have ended."""
        if self._error is not None:
            raise self._error
        return self._result[0]

    def _run(self) -> None:
        try:
            self._result.append(self._act())
        except BaseException as error:  # noqa: BLE001  raised where the result is asked for
            self._error = error
