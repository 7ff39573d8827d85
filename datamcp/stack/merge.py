"""Every process once: as it says itself in the ledger, and as the stack of this folder knows it. Pure."""

from collections.abc import Collection, Iterable
from datetime import datetime

from datamcp.infra.celery import host
from datamcp.presence.process import PRUNED_AFTER, Seen
from datamcp.stack.process import Kind
from datamcp.stack.record import ProcessRecord, StackRecord
from datamcp.stack.report import ProcessState, ProcessStatus


def merged(
    record: StackRecord | None,
    seen: Iterable[Seen],
    now: datetime,
    silent: Collection[Kind] = (),
) -> tuple[ProcessStatus, ...]:
    """Return every process once: as the ledger knows it, and as the stack of this folder does.

    What was silent for so long that any beat would have removed it is not there. `silent` are the kinds of those that report nothing there, and don't answer either.
    """
    by_id = {one.identity.process_id: one for one in seen if now - one.seen_at <= PRUNED_AFTER}
    ours = () if record is None else record.processes
    known = [_of_stack(one, by_id.pop(one.process_id or "", None), now, silent) for one in ours]
    others = [_of_ledger(one, now) for one in by_id.values()]
    order = list(Kind)
    return tuple(
        sorted([*known, *others], key=lambda one: (order.index(Kind(one.kind)), one.pool or ""))
    )


def _of_stack(
    record: ProcessRecord, seen: Seen | None, now: datetime, silent: Collection[Kind]
) -> ProcessStatus:
    facts = {"restarts": record.restarts, "starts_at": record.starts_at}
    if record.pid is not None and seen is not None:
        return _of_ledger(seen, now).model_copy(update=facts)
    is_starting = record.process_id is not None or record.kind in silent
    alive = ProcessState.STARTING if is_starting else ProcessState.READY
    return ProcessStatus(
        name=record.process_id or record.name,
        kind=record.kind.value,
        state=ProcessState.DEAD if record.pid is None else alive,
        host=host(),
        pid=record.pid,
        pool=record.pool,
        queues=() if record.pool is None else (record.pool,),
        started_at=record.started_at,
        **facts,
    )


def _of_ledger(seen: Seen, now: datetime) -> ProcessStatus:
    identity = seen.identity
    state = ProcessState.DRAINING if seen.draining else ProcessState.READY
    return ProcessStatus(
        name=identity.process_id,
        kind=identity.kind.value,
        state=ProcessState.SILENT if seen.is_silent(now) else state,
        host=identity.host,
        pid=identity.pid,
        pool=identity.pool,
        queues=identity.queues,
        implementation=identity.implementation,
        concurrency=seen.concurrency,
        busy=seen.busy,
        version=identity.version,
        started_at=seen.started_at,
        seen_at=seen.seen_at,
        swept_at=seen.swept_at,
    )
