"""Which runs may begin: no more than there is room for, and of each pipeline its turn."""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence

from datamcp.pipelines.compiled import Catalogue
from datamcp.pipelines.ledger import PipelineLedger
from datamcp.pipelines.run_ledger import RunLedger, Waiting


class Admission:
    """Lets runs begin that have waited for room. Safe to share between threads."""

    def __init__(
        self, ledger: PipelineLedger, runs: RunLedger, catalogue: Catalogue, *, most: int
    ) -> None:
        """Take how many runs may be under way."""
        self._ledger = ledger
        self._runs = runs
        self._catalogue = catalogue
        self._most = most

    def admit(self) -> Sequence[str]:
        """Let those begin for which there is room; return them. Raises BackendUnavailable."""
        if not self._runs.is_any_kept_out():
            return ()
        with self._ledger.database.transaction() as connection:
            self._ledger.lock_admission(connection)
            under_way = self._ledger.under_way(connection)
            waiting = self._runs.kept_out(connection, self._most)
            chosen = choose(waiting, under_way, self._most, self._most_of)
            return self._runs.admit(connection, chosen) if chosen else ()

    def _most_of(self, run: Waiting) -> int | None:
        return self._catalogue.revision(run.pipeline_id, run.revision).definition.limits.runs


def choose(
    waiting: Sequence[Waiting],
    under_way: Mapping[str, int],
    most: int,
    most_of: Callable[[Waiting], int | None],
) -> list[str]:
    """Return the runs that may begin: first of the pipeline of which the fewest are under way.

    Of one pipeline, and where two are equal, the one that has waited for the longest.
    """
    count = Counter(under_way)
    queues: dict[str, deque[tuple[int, Waiting]]] = {}
    for place, run in enumerate(waiting):
        queues.setdefault(run.pipeline_id, deque()).append((place, run))
    chosen: list[str] = []
    while queues and count.total() < most:
        pipeline_id = min(queues, key=lambda one: (count[one], queues[one][0][0]))
        queue = queues[pipeline_id]
        limit = most_of(queue[0][1])
        if limit is not None and count[pipeline_id] >= limit:
            del queues[pipeline_id]
            continue
        chosen.append(queue.popleft()[1].run_id)
        count[pipeline_id] += 1
        if not queue:
            del queues[pipeline_id]
    return chosen
