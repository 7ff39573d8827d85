"""What a stack tells other commands of its folder, while it runs: `stack.json`."""

from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from datamcp.config.stack import STACK_FILE, is_running
from datamcp.stack.process import Kind
from datamcp.storage.atomic import disk_errors, written_whole


class ProcessRecord(BaseModel):
    """One process of a stack; without a pid while it waits for its next start."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Kind
    pid: int | None = None
    birth: str | None = None  # tells the process from another that later has its id
    process_id: str | None = None  # in the ledger
    pool: str | None = None  # that a worker serves
    started_at: datetime | None = None
    starts_at: datetime | None = None  # the next time, if it waits for that
    restarts: int = 0


class StackRecord(BaseModel):
    """A stack: its own process, where its services are, and its processes."""

    model_config = ConfigDict(frozen=True)

    pid: int
    birth: str | None
    host: str
    started_at: datetime
    ready_at: datetime | None = None
    logs: Path
    stop_timeout: float = 0.0  # seconds that workers have for what they run
    broker_url: str | None = None
    database_url: str | None = None
    flower_url: str | None = None
    processes: tuple[ProcessRecord, ...] = ()
    owed: tuple[str, ...] = ()
    """Workers that are dead, and whose tasks are not given back yet: their process ids."""


def read_running(state_dir: Path) -> StackRecord | None:
    """Return the record of the stack that runs from a folder; None if none does."""
    return read(state_dir) if is_running(state_dir) else None


def read(state_dir: Path) -> StackRecord | None:
    """Return the record in a folder, whoever left it there; None if there is none to be read."""
    try:
        return StackRecord.model_validate_json((state_dir / STACK_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def write(state_dir: Path, record: StackRecord) -> None:
    """Write a record; raises ProcessingError or BackendUnavailable if that is not possible."""
    final = state_dir / STACK_FILE
    with written_whole(final) as path, disk_errors(final):
        path.touch(mode=0o600)  # the URLs may hold passwords
        path.write_text(record.model_dump_json(indent=2))


def remove(state_dir: Path) -> None:
    """Remove the record; it is fine if there is none."""
    (state_dir / STACK_FILE).unlink(missing_ok=True)
