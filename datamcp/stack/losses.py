"""What dead workers were running goes back to the queue, as soon as the ledger can be asked."""

from collections.abc import Collection
from threading import Lock

from datamcp.bootstrap.runtime import Runtime
from datamcp.tasks.ledger import Death, is_claimed_by


class Losses:
    """The dead whose tasks are not given back yet. Safe to share between threads."""

    def __init__(self, runtime: Runtime) -> None:
        """Take the runtime that writes the ledger."""
        self._settler = runtime.settler
        self._presence = runtime.presence
        self._lock = Lock()
        self._owed: dict[str, Death] = {}  # in the order of their deaths

    @property
    def owed(self) -> tuple[str, ...]:
        """The process ids of the dead."""
        with self._lock:
            return tuple(self._owed)

    def add(self, process_ids: Collection[str], death: Death = Death.WITH_OTHERS) -> None:
        """Note that these have died, and what is known of it."""
        with self._lock:
            self._owed.update(dict.fromkeys(process_ids, death))

    def give_back(self) -> dict[str, int]:
        """Give back what they were running; return how many tasks, of those that had some.

        Raises BackendUnavailable; what is not done then is still owed.
        """
        returned: dict[str, int] = {}
        with self._lock:
            owed = dict(self._owed)
        for process_id, death in owed.items():
            queued = self._settler.give_back(is_claimed_by(process_id), death)
            self._presence.remove([process_id])
            with self._lock:
                self._owed.pop(process_id, None)
            if queued:
                returned[process_id] = len(queued)
        return returned
