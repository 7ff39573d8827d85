"""Locks without a row, so that no two transactions on a run wait for each other in a ring.

Whoever ends a step holds its row, and then wants those of the steps that wait for it. Whoever
decides about a run wants any of its rows. So the latter first waits until none of the former is at
it, and they wait for the end of the decision. SQLite has one writer, and needs none of this.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Function, Select, bindparam, func, select

from datamcp.infra.prepare import PREPARED

_RUNS = 0x72756E73  # any numbers of our own: the kinds of what is locked
_LIMITS = 0x6B657973
_ADMISSIONS = 0x72756E73


def hold_run(connection: Connection, run_id: str) -> None:
    """Let nobody else decide about a run, or release steps of it, until the transaction ends.

    To be called first: who has locked a row of it already may wait for ever.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(HOLD, {"name": run_id})


def hold_limit(connection: Connection, key: str) -> None:
    """Let nobody else look who is under a limit until the transaction ends.

    To be called for one limit only, of those that are held: it waits.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_HOLD_LIMIT, {"name": key})


def try_limit(connection: Connection, key: str) -> bool:
    """Let nobody else look who is under a limit until the transaction ends; False if somebody is.

    It waits for nobody: two transactions may want the same limits, in another order.
    """
    if connection.dialect.name != "postgresql":
        return True
    return bool(connection.execute(_TRY, {"name": key}).scalar_one())


def _statement(function: Callable[..., Function[Any]], kind: int) -> Select[Any]:
    lock = function(kind, func.hashtext(bindparam("name")))
    return select(lock).execution_options(**PREPARED)


SHARE = _statement(func.pg_advisory_xact_lock_shared, _RUNS)
"""Lets nobody decide about a run, `name`, until the transaction ends; others may share it, too."""
HOLD = _statement(func.pg_advisory_xact_lock, _RUNS)
"""Lets nobody else decide about a run, `name`, or release steps of it; see `hold_run`."""
_HOLD_LIMIT = _statement(func.pg_advisory_xact_lock, _LIMITS)
_TRY = _statement(func.pg_try_advisory_xact_lock, _LIMITS)
ADMISSION = select(func.pg_advisory_xact_lock(_ADMISSIONS)).execution_options(**PREPARED)
"""Lets nobody else count or admit runs until the transaction ends."""
