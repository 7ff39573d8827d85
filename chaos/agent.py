"""What the tasks of a run do: they note that they ran, take some time, and have an effect."""

import os
import signal
from threading import Event

from chaos import traces
from datamcp import BaseAgent, capability

_BEAT = 0.5  # seconds between two heartbeats of a long task
_STEP = 0.05  # seconds between two looks at whether to stop


class Load(BaseAgent):
    """Has effects."""

    @capability
    def effect(self, seconds: float = 0.0) -> str:
        """Work for a while, then have an effect that is the same however often it is had."""
        self._begin()
        if self._works(seconds):
            traces.note_effect(self.context.idempotency_key, self.context.task_id)
        return self.context.idempotency_key

    @capability
    def deed(self, seconds: float = 0.0) -> str:
        """Work for a while, then have an effect that counts each time, with the task's success."""
        self._begin()
        if self._works(seconds):
            with self.context.transaction() as connection:
                traces.do_deed(connection, self.context.task_id)
        return self.context.task_id

    @capability
    def mark(self) -> str:
        """Have an effect at once."""
        key: str = self.effect()
        return key

    @capability
    def tally(self) -> str:
        """Have an effect at once that counts each time."""
        task_id: str = self.deed()
        return task_id

    @capability
    def fail(self) -> None:
        """Fail."""
        self._begin()
        raise ValueError("as it was told")

    @capability
    def crash(self) -> None:
        """End this process, however often it is tried."""
        self._begin()
        os.kill(os.getpid(), signal.SIGKILL)

    @capability(timeout=1.0)
    def overrun(self) -> None:
        """Take more time than there is."""
        self._begin()
        self._works(60.0)

    def _begin(self) -> None:
        traces.note_run(self.context.task_id, self.context.attempt)

    def _works(self, seconds: float) -> bool:
        """Take some time, with heartbeats; tell whether the work is still wanted then."""
        steps, beats = int(seconds / _STEP), int(_BEAT / _STEP)
        for step in range(steps):
            if self.context.cancelled:
                return False
            if step % beats == beats - 1:
                self.context.heartbeat(step / steps)
            Event().wait(_STEP)
        return True
