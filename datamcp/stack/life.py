"""What becomes of one process of a stack: it is started, dies, and is started again. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from datamcp.stack.process import Process
from datamcp.stack.record import ProcessRecord
from datamcp.stack.restarts import deaths_in_a_row, delay


@dataclass(frozen=True, slots=True)
class Died:
    """A process has died, or could not be started, and starts anew in so many seconds."""

    name: str
    reason: str
    delay: float
    process_id: str | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """A process was started."""

    name: str
    pid: int
    process_id: str | None = None


Event = Died | Started


class Life:
    """One process of a stack, from its first start to the end of the stack."""

    def __init__(self, process: Process) -> None:
        """Take what is to run."""
        self.process = process
        self.starts = 0
        self.deaths = 0
        """Those in a row."""
        self.next_start: float | None = None
        """When it is to start again, while it is dead: by the count of seconds."""
        self.record = ProcessRecord(name=process.name, kind=process.kind, pool=process.pool)
        self._began = 0.0

    def begin(self, now: float) -> None:
        """Note that it is being started."""
        self.next_start = None
        self.starts += 1
        self._began = now

    def run(self, pid: int, birth: str | None, at: datetime) -> Started:
        """Note that it runs."""
        process_id = self.process.process_id(pid)
        self.record = self.record.model_copy(
            update={
                "pid": pid,
                "birth": birth,
                "process_id": process_id,
                "started_at": at,
                "starts_at": None,
                "restarts": self.starts - 1,
            }
        )
        return Started(self.process.name, pid, process_id)

    def die(self, reason: str, now: float, at: datetime) -> Died:
        """Note that it has died, and when it starts again; what it was called is told."""
        self.deaths = deaths_in_a_row(self.deaths, now - self._began)
        pause = delay(self.deaths)
        self.next_start = now + pause
        process_id = self.record.process_id if self.record.pid is not None else None
        starts_at = at + timedelta(seconds=pause)
        self.record = self.record.model_copy(
            update={"pid": None, "birth": None, "starts_at": starts_at}
        )
        return Died(self.process.name, reason, pause, process_id)
