"""What a capability may end with, besides returning a value or raising an error. Pure.

Each of these is raised or returned: `raise Retry("the service is busy", delay=30)`,
`return Snooze(60)`. To whoever calls a capability as a plain method they are exceptions.
"""

from abc import ABC, abstractmethod

from datamcp.tasks import outcome
from datamcp.tasks.outcome import Again, Outcome


class Ask(Exception, ABC):  # noqa: N818  a wish is no error
    """What an attempt asks to be its outcome."""

    @property
    @abstractmethod
    def outcome(self) -> Outcome:
        """The outcome that is asked for."""


class Retry(Ask):
    """The attempt failed; make another one, if any is left, after `delay` seconds.

    Without `delay` it rests as the task's retry policy says. Which errors the policy wants does
    not matter. When no attempt is left the task fails, with this message and code.
    """

    def __init__(
        self, message: str = "", *, delay: float | None = None, code: str = "retry"
    ) -> None:
        """Take why, in how many seconds, and the code of the error."""
        super().__init__(message or "the task asked for another attempt")
        self.delay = delay
        self.code = code

    @property
    def outcome(self) -> Outcome:
        """A failure that is worth another attempt."""
        return outcome.Fail(self.code, str(self), None, Again.ASKED, delay=self.delay)


class Snooze(Ask):
    """It is not the time: begin anew after `delay` seconds. It uses up no attempt."""

    def __init__(self, delay: float) -> None:
        """Take the seconds."""
        super().__init__(f"snoozed for {delay:g} s")
        self.delay = delay

    @property
    def outcome(self) -> Outcome:
        """A snooze."""
        return outcome.Snooze(self.delay)


class Cancel(Ask):
    """There is nothing to do any more: the task ends cancelled."""

    def __init__(self, message: str = "by the task itself") -> None:
        """Take why."""
        super().__init__(message)

    @property
    def outcome(self) -> Outcome:
        """A cancel."""
        return outcome.Cancel(message=str(self))


class Fail(Ask):
    """The task fails now, whatever attempts are left."""

    def __init__(self, message: str, *, code: str = "failed") -> None:
        """Take why, and the code of the error."""
        super().__init__(message)
        self.code = code

    @property
    def outcome(self) -> Outcome:
        """A failure for good."""
        return outcome.Fail(self.code, str(self), None, Again.NEVER)
