"""What others are told of runs: their ends, and deadlines that have passed.

Who tells them stands behind a port. A notice is kept with its run until it has left, so that a
crash costs none; one may come twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from datamcp.telemetry import Telemetry

NoticeKind = Literal["run_succeeded", "run_failed", "run_cancelled", "deadline_missed"]

PENDING = "open"
"""What a run's row says whose end somebody wants to be told of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What happened to a run, and who is to be told (`on_success`, `on_failure`)."""

    kind: NoticeKind
    run_id: str
    pipeline_id: str
    at: datetime
    channels: Sequence[str] = ()
    error_code: str | None = None
    error_message: str | None = None


class Notices(Protocol):
    """Tells people."""

    def send(self, notice: Notice) -> None:
        """Tell, within a bound; raise DatamcpError if it could not: then it is tried again."""
        ...


class LoggedNotices:
    """Writes notices to the log: what there is where nobody else tells."""

    def __init__(self, telemetry: Telemetry) -> None:
        """Take what writes it."""
        self._telemetry = telemetry

    def send(self, notice: Notice) -> None:
        """Write it."""
        self._telemetry.emit(
            "run.notice",
            kind=notice.kind,
            run_id=notice.run_id,
            pipeline_id=notice.pipeline_id,
            channels=list(notice.channels),
            error=notice.error_message,
        )
