"""What goes wrong in tests alone. The tree of the library's own errors is in `datamcp.errors`."""

from collections.abc import Sequence

from datamcp.errors import ResultTimeoutError


class NobodyRunsItError(ResultTimeoutError):
    """Someone waits for what can't end by itself: there is no worker, and time stands still."""

    def __init__(self, task_id: str, state: str, due: str | None = None) -> None:
        """Take the task or the run, its state, and the instant (ISO 8601) before its start."""
        super().__init__(task_id, 0, state)
        self.args = (task_id, state, due)
        self.due = due

    def __str__(self) -> str:
        """Say what it waits for, and what to do."""
        if self.due is not None:
            when = f"is {self.state}, and due at {self.due}"
            return f"{self.task_id} {when}: move the clock there first, or do not wait for it"
        if self.state == "running":
            return f"{self.task_id} is running: it waits for itself, or for what waits for it"
        return f"{self.task_id} is {self.state}, and nothing that can run now ends it"


class DrainLimitError(AssertionError):
    """There is no end of what is due."""

    def __init__(self, limit: int, last: Sequence[str]) -> None:
        """Take the limit, and the types of the tasks that ran last."""
        shown = ", ".join(last)
        super().__init__(
            f"drain() made {limit} attempts, and there is still something due; the last were "
            f"{shown}. Does a task enqueue itself? Else drain(runtime, limit=...)"
        )
