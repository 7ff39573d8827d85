"""Decide about the steps of a run that more than the success of their upstreams starts.

One transaction locks the steps that may be touched, looks at each, upstreams first, and writes what
was decided. It may be made any number of times, by anybody: after each end that leaves something
to decide, by sweeps for what a dead process left, and when somebody resumes or signals.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from datamcp.errors import BackendUnavailable, DatamcpError
from datamcp.infra.database import Connection
from datamcp.pipelines.board import Board, Slip, reach
from datamcp.pipelines.compiled import Catalogue, RunInfo, base_of, instance_id
from datamcp.pipelines.crowd import ALL_STEPS, Crowd
from datamcp.pipelines.definition import TaskDefinition
from datamcp.pipelines.expression.expression import Scope as Names
from datamcp.pipelines.expression.expression import is_true
from datamcp.pipelines.gate import SLOTLESS, Gate, Verdict
from datamcp.pipelines.gather import Gathered, gather
from datamcp.pipelines.ledger import PipelineLedger
from datamcp.pipelines.locks import hold_run
from datamcp.pipelines.memory import StepMemory, cache_key
from datamcp.pipelines.new_run import Adopted, step_row
from datamcp.pipelines.outputs import Kept, Scope, outputs_of, text_of, value_of
from datamcp.pipelines.prepare import Preparer
from datamcp.pipelines.status import FINAL_RUN_STATES
from datamcp.pipelines.step_ledger import LockedRun, StepEnd, StepLedger, element_key, limit_key
from datamcp.pipelines.waiting import Look, Waits
from datamcp.tasks.ledger import Hint
from datamcp.tasks.states import FAILURES, FINAL, State
from datamcp.types import step_task_id

MOST_ELEMENTS = 10_000
"""Elements of a list for each of which a step may be repeated."""

MAP = "map"
"""What a step awaits that was made many: the ends of all of them."""

_BAD = FAILURES | {State.CANCELLED}


@dataclass(slots=True)
class Decided:
    """What a decision led to, to be acted upon once it is written."""

    hints: list[Hint] = field(default_factory=list)
    started_runs: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)  # the keys of those that were left
    is_over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Who keeps steps and runs, and who knows what a step may need and wait for."""

    ledger: PipelineLedger
    steps: StepLedger
    catalogue: Catalogue
    preparer: Preparer
    memory: StepMemory
    waits: Waits
    crowd: Crowd


class Advancer:
    """Makes decisions. Safe to share between threads."""

    def __init__(self, parts: Parts) -> None:
        """Take the parts."""
        self._parts = parts
        self._steps = parts.steps

    def advance(self, run_id: str) -> Decided:
        """Decide what there is to decide in a run; raises BackendUnavailable, with nothing written."""
        run = self._parts.catalogue.run(run_id)
        found = self._steps.undecided(run_id)
        if not found:  # as at the start of most runs, and where somebody else was faster
            return Decided()
        undecided = {one.step_id for one in found}
        if not any(one.may_end for one in found):  # as most often: they start, and nothing else
            with suppress(_TooNarrow):
                return self._decide(run, undecided, is_narrow=True)
        return self._decide(run, reach(run.compiled, undecided), is_narrow=False)

    def _decide(self, run: RunInfo, step_ids: Collection[str], *, is_narrow: bool) -> Decided:
        """Decide about steps; raises _TooNarrow, with nothing written, if that concerns others."""
        with self._steps.database.transaction() as connection:
            slips = self._steps.lock(connection, run.run_id, step_ids)
            row = self._steps.lock_run(connection, run.run_id)
            if not _may_go_on(row):
                return Decided()
            turn = _Turn(self._parts, connection, run, row, slips, is_narrow=is_narrow)
            turn.play()
            turn.write()
            return turn.decided

    def mark(self, run: RunInfo, step_id: str, adopted: Adopted) -> Decided | None:
        """End a step that has not begun as somebody says; None if it has begun, or ended."""
        with self._steps.database.transaction() as connection:
            hold_run(connection, run.run_id)
            self._steps.park(connection, step_task_id(run.run_id, step_id))
            slips = self._steps.lock(connection, run.run_id, reach(run.compiled, [step_id]))
            row = self._steps.lock_run(connection, run.run_id)
            found = next((slip for slip in slips if slip.step_id == step_id), None)
            if found is None or found.awaits == MAP or row.state in FINAL_RUN_STATES:
                return None
            turn = _Turn(self._parts, connection, run, row, slips)
            turn.mark(found, adopted)
            if _may_go_on(row):
                turn.play()
            turn.write()
            return turn.decided


class _TooNarrow(Exception):  # noqa: N818  no error: it is looked at once more
    """An end concerns steps that were not locked."""


class _Turn:
    """The decisions of one transaction."""

    def __init__(
        self,
        parts: Parts,
        connection: Connection,
        run: RunInfo,
        row: LockedRun,
        slips: Collection[Slip],
        *,
        is_narrow: bool = False,
    ) -> None:
        self._parts = parts
        self._connection = connection
        self._run = run
        self._compiled = run.compiled
        self._is_narrow = is_narrow  # the steps below are not there
        self._now = row.now
        self._has_begun = row.started_at is not None
        self._board = Board(run.compiled, slips, self._ended)
        self._starts: dict[str, str | None] = {}  # by task id: the key of its limit
        self._ends: list[StepEnd] = []
        self._kept_out: list[Slip] = []
        self._room: dict[str, int] = {}
        self._keys: set[str] = set()
        self._let_in: set[str] = set()
        self._outputs: dict[str, dict[str, Kept]] = {}  # that a step refers to, by the step
        self._is_repeatable = True  # it starts steps, and does nothing else
        self._has_left = False  # somebody has, so that one that was kept out may come in
        self.decided = Decided()

    def mark(self, slip: Slip, adopted: Adopted) -> None:
        """End a step as somebody says."""
        end = StepEnd(
            slip.task_id,
            adopted.state,
            adopted.error_code,
            adopted.error_message,
            adopted.output,
            note=adopted.note,
        )
        self._leave(slip)
        self._end_as(slip, end)

    # Look.

    def play(self) -> None:
        """Look at each step that somebody has to look at, and at those that this concerns."""
        self._look_at_all()
        while self._kept_out and self._has_left:
            again, self._kept_out, self._has_left = self._kept_out, [], False
            self._board.put_up(again)
            self._look_at_all()

    def _look_at_all(self) -> None:
        while (slip := self._board.next()) is not None:
            try:
                self._look(slip)
            except BackendUnavailable:
                raise
            except DatamcpError as error:
                self._leave(slip)
                self._end(slip, State.FAILED, "invalid_step", str(error))

    def _look(self, slip: Slip) -> None:
        if slip.awaits == MAP and slip.left > 0:
            slip.is_undecided, slip.is_changed = False, True
        elif slip.awaits == MAP:
            self._put_together(slip)
        elif slip.awaits is not None:
            self._follow(slip, self._parts.waits.look(self._connection, self._run, slip, self._now))
        else:
            self._judge(slip)

    def _judge(self, slip: Slip) -> None:
        match self._board.verdict(slip):
            case Verdict.WAIT:
                slip.is_undecided, slip.is_changed = False, True
            case Verdict.FAIL:
                cause = self._board.cause(slip, _BAD)
                message = f"step {cause} did not succeed" if cause else "nothing before it failed"
                self._end(slip, State.UPSTREAM_FAILED, "upstream_failed", message)
            case Verdict.SKIP:
                cause = self._board.cause(slip, {State.SKIPPED})
                why = f"step {cause} was skipped" if cause else "nothing before it failed"
                self._end(slip, State.SKIPPED, "skipped", why)
            case Verdict.GO:
                self._go(slip)

    def _go(self, slip: Slip) -> None:
        """Let a step start, if its condition holds, in the way that it does."""
        step = self._compiled.step_of(slip.step_id)
        scope = self._scope(slip, step)
        is_one_of_many = slip.map_index is not None
        if not is_one_of_many and step.when is not None and not self._holds(step, scope):
            self._end(slip, State.SKIPPED, "skipped", f"its condition does not hold: {step.when}")
        elif not is_one_of_many and step.map is not None:
            self._make_many(slip, step, scope)
        elif step.cache is not None and self._take_over(slip):
            return
        elif not self._is_let_in(slip, step, key := self._key(step, scope)):
            slip.is_undecided = False  # looked at, in this turn
            self._kept_out.append(slip)
        elif step.processor in SLOTLESS:
            self._begin_to_wait(slip, step, scope)
        else:
            self._starts[slip.task_id] = key
            self._board.start(slip)

    def _holds(self, step: TaskDefinition, scope: Scope) -> bool:
        condition = self._compiled.conditions[step.task_id]
        outputs = {
            name: {**kept.output.model_dump(), "state": kept.state}
            for name, kept in scope.outputs.items()
        }
        names = Names(
            parameters=self._run.values, outputs=outputs, run=self._run.fields, items=scope.items
        )
        return is_true(condition.evaluate(names))

    # Room.

    def _is_let_in(self, slip: Slip, step: TaskDefinition, key: str | None) -> bool:
        """Tell whether there is room for a step: in its run, among its like, and under its key.

        One that holds no slot takes no room in its run, and all other.
        """
        owners = {}
        if self._parts.crowd.is_large and step.processor not in SLOTLESS:
            owners[ALL_STEPS] = self._parts.crowd.most
        steps = self._compiled.definition.limits.steps
        if steps is not None and step.processor not in SLOTLESS:
            owners[self._run.run_id] = steps
        if slip.map_index is not None and step.map is not None and step.map.max_parallel:
            owners[self._parent_of(slip)] = step.map.max_parallel
        if any(self._room_of(owner, most) <= 0 for owner, most in owners.items()):
            return False
        if key is not None:
            self._parts.steps.note_limit(self._connection, slip.task_id, key)
            slip.limit_key = key
            if key in self._keys or self._parts.steps.is_taken(self._connection, key, slip.task_id):
                return False
            self._keys.add(key)
        for owner in owners:
            self._room[owner] -= 1
        self._let_in.add(slip.task_id)
        return True

    def _leave(self, slip: Slip) -> None:
        """Give up the room of a step that has ended, and held no slot; if it had any."""
        if slip.awaits in {None, MAP} and slip.task_id not in self._let_in:
            return
        parent = self._parent_of(slip)
        if parent in self._room:
            self._room[parent] += 1
        if slip.limit_key is not None:
            self._keys.discard(slip.limit_key)
            self.decided.limits.append(slip.limit_key)
        self._has_left = True

    def _parent_of(self, slip: Slip) -> str:
        return step_task_id(self._run.run_id, base_of(slip.step_id))

    def _room_of(self, owner: str, most: int) -> int:
        if owner not in self._room:
            self._room[owner] = most - self._under_way(owner)
        return self._room[owner]

    def _under_way(self, owner: str) -> int:
        if owner == ALL_STEPS:
            return self._parts.steps.all_under_way(self._connection)
        parent = None if owner == self._run.run_id else owner
        return self._parts.steps.under_way(self._connection, self._run.run_id, parent)

    def _key(self, step: TaskDefinition, scope: Scope) -> str | None:
        """Return what those have in common of which one may run at a time."""
        if step.concurrency_key is None:
            return None
        text = text_of(step.concurrency_key, scope)
        return limit_key(self._compiled.definition.pipeline_id, text)

    # What needs no slot.

    def _take_over(self, slip: Slip) -> bool:
        """End a step with an output that was kept; tell whether there was one."""
        key = cache_key(
            self._parts.steps,
            self._connection,
            self._run,
            slip.step_id,
            slip.element,
        )
        found = self._parts.memory.find(self._connection, self._run, slip.step_id, key)
        if found is None:
            return False
        output, task_id = found
        self._end(slip, State.SUCCEEDED, output=output, adopted_from=task_id)
        return True

    def _begin_to_wait(self, slip: Slip, step: TaskDefinition, scope: Scope) -> None:
        look = self._parts.waits.begin(self._connection, self._run, slip, step, scope, self._now)
        self._follow(slip, look)

    def _follow(self, slip: Slip, look: Look) -> None:
        """Write what a look at a step that waits has shown."""
        self._is_repeatable = False
        self.decided.started_runs += look.started_runs
        if look.end is not None:
            self._leave(slip)
            self._end_as(slip, look.end)
            return
        since = slip.since if slip.awaits is not None and slip.since is not None else self._now
        self._parts.steps.wait(self._connection, slip, look.awaits, look.due, since=since)
        slip.is_changed = False
        self._begin_run()

    def _make_many(self, slip: Slip, step: TaskDefinition, scope: Scope) -> None:
        """Repeat a step for each element of a list."""
        self._is_repeatable = False
        elements = value_of(step.map.over, scope) if step.map is not None else None
        if not isinstance(elements, list):
            found = type(elements).__name__
            raise DatamcpError(f"map.over must be a list, got {found}")
        if len(elements) > MOST_ELEMENTS:
            raise DatamcpError(f"map.over has {len(elements)} elements, at most {MOST_ELEMENTS}")
        if not elements:
            self._end_gathered(slip, gather([], step.task_id))
            return
        many = [
            self._parts.preparer.instance(
                self._run, step.task_id, instance_id(step.task_id, index), index, element
            )
            for index, element in enumerate(elements)
        ]
        rows = [
            {**step_row(self._run.run_id, one), "state": State.SCHEDULED, "undecided": True}
            for one in many
        ]
        self._parts.steps.insert(self._connection, rows)
        slip.left = len(many)
        self._parts.steps.wait(self._connection, slip, MAP, None, since=self._now)
        slip.is_changed = False
        self._begin_run()
        slips = [
            Slip(
                step_id=one.step_id,
                task_id=row["task_id"],
                gate=Gate.LAST,
                left=0,
                unsuccessful=0,
                is_undecided=True,
                map_index=one.map_index,
                timeout=one.timeout,
                element=element,
            )
            for one, row, element in zip(many, rows, elements, strict=True)
        ]
        self._board.add(slips)
        self._reuse(step, slips)

    def _reuse(self, step: TaskDefinition, slips: Collection[Slip]) -> None:
        """Take over what succeeded for the same elements in the run that this one resumes."""
        before = self._run.resumed_from
        if before is None:
            return
        done = self._parts.steps.reusable(self._connection, before, step.task_id)
        for slip in slips:
            left = done.get(element_key(slip.element))
            if left is not None:
                self._end(slip, State.SUCCEEDED, output=left.output, adopted_from=left.task_id)

    def _put_together(self, slip: Slip) -> None:
        """End a step that was made many, once all of these have ended."""
        self._write_ends()  # those of this turn among them
        left = self._parts.steps.instances(self._connection, self._run.run_id, slip.step_id)
        if all(one.state in FINAL for one in left):
            self._end_gathered(slip, gather(left, slip.step_id))
        else:  # it was looked at as another of its upstreams has ended
            slip.is_undecided, slip.is_changed = False, True

    def _end_gathered(self, slip: Slip, gathered: Gathered) -> None:
        self._end(
            slip,
            gathered.state,
            gathered.error_code,
            gathered.error_message,
            output=gathered.output,
        )

    # Ends.

    def _end(
        self,
        slip: Slip,
        state: State,
        code: str | None = None,
        message: str | None = None,
        *,
        output: str | None = None,
        adopted_from: str | None = None,
    ) -> None:
        self._end_as(slip, StepEnd(slip.task_id, state, code, message, output, adopted_from))

    def _end_as(self, slip: Slip, end: StepEnd) -> None:
        if self._is_narrow:
            raise _TooNarrow
        self._ends.append(end)
        self._is_repeatable = False
        step = self._compiled.step_of(slip.step_id)
        is_failure = end.state in {State.FAILED, State.TIMED_OUT}
        is_forgiven = is_failure and step.continues_on_error
        is_good = end.state is State.SUCCEEDED or is_forgiven
        self._board.end(slip, end.state, counts_as_success=is_good)

    def _ended(self, step_ids: Collection[str]) -> Mapping[str, State]:
        left = self._parts.steps.left(self._connection, self._run.run_id, step_ids)
        return {step_id: one.seen for step_id, one in left.items()}

    def _scope(self, slip: Slip, step: TaskDefinition) -> Scope:
        """Return what a step's texts may name; for many that one was made to, asked once."""
        if step.task_id not in self._outputs:
            self._write_ends()
            outputs = outputs_of(self._parts.steps, self._connection, self._run, step)
            self._outputs[step.task_id] = outputs
        return Scope.of(self._run, self._outputs[step.task_id], step, slip.element)

    def _begin_run(self) -> None:
        if not self._has_begun:
            self._parts.ledger.begin_on(self._connection, self._run.run_id)
            self._has_begun = True

    # Write.

    def write(self) -> None:
        """Write what was decided, and end the run if nothing is left of it."""
        self._write_ends()
        for slip in self._kept_out:
            slip.is_undecided, slip.is_changed = True, True
        self._parts.steps.put_back(self._connection, self._board.changed)
        self.decided.hints = self._parts.steps.start(
            self._connection,
            self._starts,
            is_relaxed=self._is_repeatable,  # what a crash undoes, sweeps decide again
        )
        if not self._starts:
            self.decided.is_over = self._parts.ledger.close(self._connection, self._run.run_id)

    def _write_ends(self) -> None:
        self._parts.steps.end(self._connection, self._ends)
        self._ends = []


def _may_go_on(row: LockedRun) -> bool:
    return (
        row.state not in FINAL_RUN_STATES
        and not row.cancel_requested
        and row.paused_at is None
        and row.admitted_at is not None
    )
