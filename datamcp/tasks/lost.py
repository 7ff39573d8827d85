"""What becomes of the claims of one process that has died while one task ran inside of another.

The one that ran is to blame, unless the process was ended for a reason: then nobody is. Those that
waited for it go back and use up no attempt (protocol R10, R19).
"""

from collections.abc import Iterator, Sequence

from datamcp.tasks.ledger import Death, Deferred, is_claim
from datamcp.tasks.outcome import TimedOut
from datamcp.tasks.settle import Settler
from datamcp.tasks.slots import Held, Order


def blame(
    pile: Sequence[Held], now: float, grace: float
) -> Iterator[tuple[Held, Death | TimedOut]]:
    """Yield what becomes of each claim of a slot, from above. Pure.

    What ran inside of another one has timed out if it was ended for that: `grace` seconds after its
    deadline. `now` is that of the monotonic clock.
    """
    has_a_cause = any(one.order is not Order.NONE or _is_late(one, now) for one in pile)
    for held in reversed(pile):
        if held.level and _is_late(held, now - grace):
            yield held, TimedOut((held.deadline or now) - held.since)
        elif held is pile[-1] and not has_a_cause:
            yield held, Death.ALONE
        else:
            yield held, Death.EXPLAINED


def bury(pile: Sequence[Held], settler: Settler, *, now: float, grace: float) -> None:
    """Write what becomes of the claims of a dead process's slot; raises BackendUnavailable."""
    for held, fate in blame(pile, now, grace):
        if isinstance(fate, Death):
            settler.give_back(is_claim(held.task_id, held.fence), fate)
            continue
        after = settler.conclude(held.task_id, held.fence, fate).after
        if isinstance(after, Deferred):
            settler.resume(after)


def _is_late(held: Held, now: float) -> bool:
    return held.deadline is not None and now >= held.deadline
