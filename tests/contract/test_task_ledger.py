import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from support.ledgers import LedgerOnHand, new_id, new_task

from datamcp.infra.database import Database
from datamcp.tasks.ledger import (
    MAX_LOSSES,
    MAX_SUSPICIONS,
    Claimed,
    Death,
    TaskLedger,
    is_claimed_by,
    is_of_run,
    is_task,
)
from datamcp.tasks.outcome import Cancel, Done, Fail, Outcome, TimedOut
from datamcp.tasks.states import State

OUTCOMES = [Done("3", "{}"), Fail("code", "message"), TimedOut(1.0), Cancel()]


@pytest.fixture
def ledger(at_hand: LedgerOnHand) -> TaskLedger:
    """Return the ledger itself."""
    return at_hand.ledger


class TestInsert:
    def test_a_new_row_is_queued_at_once(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """A task that nothing holds back may start."""
        inserted = ledger.insert(new_task(task_id=(one := new_id())))
        assert (inserted.task_id, inserted.state, inserted.is_new) == (one, State.QUEUED, True)
        row = at_hand.row(one)
        assert (row.state, row.attempt, row.max_attempts) == (State.QUEUED, 0, 1)
        assert row.created_at == row.queued_at == at_hand.clock.instant
        assert row.scheduled_at is row.started_at is row.finished_at is None

    def test_keeps_all_that_it_was_given(self, at_hand: LedgerOnHand) -> None:
        """Each field is in the column of its name."""
        given = {
            "priority": 9,
            "parameters": '{"text": "¼ \U0001f600"}',
            "max_attempts": 4,
            "timeout": 2.5,
            "idempotency_key": new_id(),
            "tags": '["a"]',
            "metadata": '{"b": 1}',
            "root_id": "root",
            "parent_id": "parent",
            "celery_result": True,
        }
        row = at_hand.row(at_hand.add(**given))
        assert {name: getattr(row, name) for name in given} == given

    @pytest.mark.parametrize(
        ("seconds", "state"), [(0.001, State.SCHEDULED), (0, State.QUEUED), (-60, State.QUEUED)]
    )
    def test_a_time_to_come_makes_it_scheduled(
        self, at_hand: LedgerOnHand, seconds: float, state: State
    ) -> None:
        """A task is scheduled until its instant, by the database's clock."""
        due = at_hand.clock.instant + timedelta(seconds=seconds)
        row = at_hand.row(at_hand.add(scheduled_at=due))
        assert (row.state, row.scheduled_at) == (state, due)
        assert (row.queued_at is None) == (state is State.SCHEDULED)

    def test_asks_the_clock_of_the_database(self, shared_database: Database) -> None:
        """Real time is that of the server, for what is compared and for what is kept."""
        ledger = TaskLedger(shared_database)
        now = ledger.insert(new_task()).task_id
        row = ledger.get(now)
        assert row is not None
        later = row.created_at + timedelta(seconds=60)
        assert ledger.insert(new_task(scheduled_at=later)).state is State.SCHEDULED
        earlier = row.created_at - timedelta(seconds=1)
        assert ledger.insert(new_task(scheduled_at=earlier)).state is State.QUEUED

    def test_the_same_id_again_is_the_same_row(self, ledger: TaskLedger) -> None:
        """An insert that is repeated after a lost answer changes nothing."""
        task = new_task()
        assert ledger.insert(task).is_new
        again = ledger.insert(task)
        assert (again.task_id, again.is_new, again.parameters) == (
            task.task_id,
            False,
            task.parameters,
        )

    def test_a_taken_id_says_what_has_it(self, ledger: TaskLedger) -> None:
        """The caller can compare type and parameters; the row stays as it was."""
        one = new_id()
        ledger.insert(new_task(task_id=one, task_type="bench.add", parameters="1"))
        found = ledger.insert(new_task(task_id=one, task_type="bench.mul", parameters="2"))
        assert (found.is_new, found.task_type, found.parameters) == (False, "bench.add", "1")

    def test_an_idempotency_key_is_one_task_of_its_type(self, ledger: TaskLedger) -> None:
        """The second task with a key is the first; another type has keys of its own."""
        key = new_id()
        first = ledger.insert(new_task(idempotency_key=key))
        second = ledger.insert(new_task(idempotency_key=key, parameters="2"))
        assert (second.task_id, second.is_new) == (first.task_id, False)
        assert second.parameters == first.parameters
        assert ledger.insert(new_task(idempotency_key=key, task_type="bench.mul")).is_new

    def test_an_id_counts_before_a_key(self, ledger: TaskLedger) -> None:
        """Where id and key belong to two rows, the one of the id is found."""
        key = new_id()
        one, other = new_task(), new_task(idempotency_key=key)
        ledger.insert(one)
        ledger.insert(other)
        both = new_task(task_id=one.task_id, idempotency_key=key)
        assert ledger.insert(both).task_id == one.task_id

    def test_one_of_many_inserts_wins(self, ledger: TaskLedger) -> None:
        """Callers that use one key at the same time get one id, and one of them made it."""
        barrier, key = threading.Barrier(8), new_id()

        def insert(_number: int) -> tuple[str, bool]:
            barrier.wait()
            inserted = ledger.insert(new_task(idempotency_key=key))
            return inserted.task_id, inserted.is_new

        with ThreadPoolExecutor(8) as threads:
            results = list(threads.map(insert, range(8)))
        assert len({task_id for task_id, _ in results}) == 1
        assert sorted(is_new for _, is_new in results) == [False] * 7 + [True]


class TestClaim:
    def test_takes_a_queued_row(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """The claimer gets all that it needs, and the row says who has it."""
        key = new_id()
        task_id = at_hand.add(timeout=2.5, idempotency_key=key, tags='["a"]', root_id="root")
        at_hand.clock.move(5)
        claimed = ledger.claim(task_id, "fence", "agent")
        assert isinstance(claimed, Claimed)
        assert (claimed.task_id, claimed.fence, claimed.attempt) == (task_id, "fence", 1)
        assert (claimed.timeout, claimed.idempotency_key, claimed.tags) == (2.5, key, '["a"]')
        row = at_hand.row(task_id)
        assert (row.state, row.agent_id, row.fence) == (State.RUNNING, "agent", "fence")
        assert row.started_at == at_hand.clock.instant

    def test_only_one_of_many_wins(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """Eight workers that got the same message at once: one of them runs it."""
        task_ids = [at_hand.add() for _ in range(20)]
        barrier = threading.Barrier(8)

        def claim_all(number: int) -> list[str]:
            barrier.wait()
            fences = {task_id: f"{number}-{task_id}" for task_id in task_ids}
            return [
                task_id for task_id, fence in fences.items() if ledger.claim(task_id, fence, "")
            ]

        with ThreadPoolExecutor(8) as threads:
            won = [task_id for ids in threads.map(claim_all, range(8)) for task_id in ids]
        assert sorted(won) == sorted(task_ids)
        assert all(at_hand.row(task_id).attempt == 1 for task_id in task_ids)

    def test_repeated_with_its_fence_is_the_same_claim(
        self, at_hand: LedgerOnHand, ledger: TaskLedger
    ) -> None:
        """After a lost answer the claimer asks again and is told the same (R2)."""
        task_id = at_hand.add()
        first = ledger.claim(task_id, "fence", "agent")
        assert first is not None
        assert ledger.claim(task_id, "fence", "agent") == first
        assert at_hand.row(task_id).attempt == 1

    def test_refuses_what_another_has(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """A running row belongs to the fence that took it."""
        task_id = at_hand.add()
        ledger.claim(task_id, "mine", "agent")
        assert ledger.claim(task_id, "other", "agent") is None
        assert at_hand.row(task_id).fence == "mine"

    @pytest.mark.parametrize("outcome", OUTCOMES)
    def test_refuses_what_has_ended(
        self, at_hand: LedgerOnHand, ledger: TaskLedger, outcome: Outcome
    ) -> None:
        """A message that comes late or twice starts nothing, even with the fence of the end."""
        task_id = at_hand.add()
        ledger.claim(task_id, "fence", "agent")
        at_hand.finish(task_id, "fence", outcome)
        assert ledger.claim(task_id, "fence", "agent") is None
        assert ledger.claim(task_id, "other", "agent") is None

    def test_refuses_what_is_not_due(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """A message that comes early starts nothing; at the instant itself it does."""
        due = at_hand.clock.instant + timedelta(seconds=10)
        task_id = at_hand.add(scheduled_at=due)
        at_hand.clock.move(9.999)
        assert ledger.claim(task_id, "early", "agent") is None
        at_hand.clock.move(0.001)
        assert ledger.claim(task_id, "due", "agent") is not None

    def test_refuses_what_is_cancelled_or_unknown(
        self, at_hand: LedgerOnHand, ledger: TaskLedger
    ) -> None:
        """A forged message names nothing, and a cancelled task never starts."""
        task_id = at_hand.add()
        at_hand.cancel(task_id)
        assert ledger.claim(task_id, "fence", "agent") is None
        assert ledger.claim("unknown", "fence", "agent") is None
        assert ledger.get("unknown") is None


class TestHeartbeat:
    def test_keeps_the_progress(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """A beat without progress leaves the last one."""
        task_id = at_hand.add()
        ledger.claim(task_id, "fence", "agent")
        beats = [ledger.heartbeat(task_id, "fence", progress) for progress in (None, 0.5, None)]
        assert [beat and beat.cancel_requested for beat in beats] == [False] * 3
        assert at_hand.row(task_id).progress == 0.5

    def test_tells_of_a_cancel(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """The capability can stop of itself."""
        task_id = at_hand.add()
        ledger.claim(task_id, "fence", "agent")
        at_hand.cancel(task_id)
        beat = ledger.heartbeat(task_id, "fence", 0.5)
        assert beat is not None
        assert beat.cancel_requested

    def test_of_a_lost_claim_changes_nothing(
        self, at_hand: LedgerOnHand, ledger: TaskLedger
    ) -> None:
        """Whoever lost a task hears so, and does not write into what another does (R1)."""
        task_id = at_hand.add()
        ledger.claim(task_id, "first", "agent")
        at_hand.give_back(task_id, "first")
        assert ledger.heartbeat(task_id, "first", 0.9) is None
        ledger.claim(task_id, "second", "agent")
        assert ledger.heartbeat(task_id, "first", 0.9) is None
        assert at_hand.row(task_id).progress is None
        at_hand.finish(task_id, "second", Done("1"))
        assert ledger.heartbeat(task_id, "second", 0.9) is None


class TestFinish:
    @pytest.mark.parametrize(
        ("outcome", "state", "fields"),
        [
            (OUTCOMES[0], State.SUCCEEDED, ("3", "{}", None, None)),
            (OUTCOMES[1], State.FAILED, (None, None, "code", "message")),
            (
                OUTCOMES[2],
                State.TIMED_OUT,
                (None, None, "timeout", "stopped after its timeout of 1 s"),
            ),
            (OUTCOMES[3], State.CANCELLED, (None, None, "cancelled", "on request")),
        ],
    )
    def test_writes_how_an_attempt_ended(
        self,
        at_hand: LedgerOnHand,
        ledger: TaskLedger,
        outcome: Outcome,
        state: State,
        fields: tuple[str | None, ...],
    ) -> None:
        """State, result and error are those of the outcome."""
        task_id = at_hand.add()
        ledger.claim(task_id, "fence", "agent")
        at_hand.clock.move(2)
        settled = at_hand.finish(task_id, "fence", outcome)
        assert settled is not None
        assert (settled.task_id, settled.state, settled.is_repeat) == (task_id, state, False)
        row = at_hand.row(task_id)
        assert (row.state, row.finished_at) == (state, at_hand.clock.instant)
        assert (row.result, row.output, row.error_code, row.error_message) == fields

    def test_repeated_is_a_success(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """After a lost answer the finish is written once and told twice (R2)."""
        task_id = at_hand.add()
        ledger.claim(task_id, "fence", "agent")
        first = at_hand.finish(task_id, "fence", Done("3"))
        at_hand.clock.move(1)
        second = at_hand.finish(task_id, "fence", Done("3"))
        assert first is not None
        assert second is not None
        assert (second.state, second.is_repeat) == (first.state, True)
        assert at_hand.row(task_id).finished_at == at_hand.clock.instant - timedelta(seconds=1)

    def test_the_first_end_stays(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """A kill that comes after the success does not change it (R11)."""
        task_id = at_hand.add()
        ledger.claim(task_id, "fence", "agent")
        at_hand.finish(task_id, "fence", Done("3"))
        late = at_hand.finish(task_id, "fence", TimedOut(1))
        assert late is not None
        assert (late.state, late.is_repeat) == (State.SUCCEEDED, True)
        assert at_hand.row(task_id).result == "3"

    def test_of_a_lost_claim_is_refused(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """Whoever was taken for dead and comes back finds its fence gone (R1)."""
        task_id = at_hand.add()
        ledger.claim(task_id, "first", "agent")
        at_hand.give_back(task_id, "first")
        assert at_hand.finish(task_id, "first", Done("stale")) is None
        assert at_hand.row(task_id).state == State.QUEUED
        ledger.claim(task_id, "second", "agent")
        assert at_hand.finish(task_id, "first", Done("stale")) is None
        assert at_hand.finish(task_id, "second", Done("fresh")) is not None
        assert at_hand.finish(task_id, "first", Done("stale")) is None
        assert at_hand.row(task_id).result == "fresh"

    def test_of_what_was_never_claimed_is_refused(self, at_hand: LedgerOnHand) -> None:
        """A fence that the ledger did not give is none."""
        task_id = at_hand.add()
        assert at_hand.finish(task_id, "fence", Done("3")) is None
        assert at_hand.finish("unknown", "fence", Done("3")) is None
        assert at_hand.row(task_id).state == State.QUEUED


class TestCancel:
    def test_ends_what_waits(self, at_hand: LedgerOnHand) -> None:
        """Scheduled and queued tasks are cancelled in the same statement (R9)."""
        due = at_hand.clock.instant + timedelta(seconds=10)
        for task_id in (at_hand.add(), at_hand.add(scheduled_at=due)):
            (settled,) = at_hand.cancel(task_id)
            assert (settled.task_id, settled.state) == (task_id, State.CANCELLED)
            row = at_hand.row(task_id)
            assert (row.state, row.error_code) == (State.CANCELLED, "cancelled")
            assert row.finished_at == at_hand.clock.instant

    @pytest.mark.parametrize("outcome", OUTCOMES)
    def test_of_a_running_task_wins_over_every_end(
        self, at_hand: LedgerOnHand, ledger: TaskLedger, outcome: Outcome
    ) -> None:
        """It is flagged, and cancelled when its attempt ends, however that goes (R9)."""
        task_id = at_hand.add()
        ledger.claim(task_id, "fence", "agent")
        assert at_hand.cancel(task_id) == []
        assert at_hand.row(task_id).state == State.RUNNING
        settled = at_hand.finish(task_id, "fence", outcome)
        assert settled is not None
        assert settled.state is State.CANCELLED
        row = at_hand.row(task_id)
        assert (row.state, row.result, row.output) == (State.CANCELLED, None, None)
        assert (row.error_code, row.error_message) == ("cancelled", "on request")

    def test_of_a_running_task_wins_over_the_loss_of_its_worker(
        self, at_hand: LedgerOnHand, ledger: TaskLedger
    ) -> None:
        """It does not start again (R9)."""
        task_id = at_hand.add()
        ledger.claim(task_id, "fence", "agent")
        at_hand.cancel(task_id)
        queued, (settled,) = at_hand.give_back(task_id, "fence")
        assert (queued, settled.state) == ([], State.CANCELLED)
        assert at_hand.row(task_id).finished_at == at_hand.clock.instant

    def test_of_what_has_ended_changes_nothing(
        self, at_hand: LedgerOnHand, ledger: TaskLedger
    ) -> None:
        """Final is final (R11)."""
        task_id = at_hand.add()
        ledger.claim(task_id, "fence", "agent")
        at_hand.finish(task_id, "fence", Done("3"))
        before = at_hand.row(task_id)
        assert at_hand.cancel(task_id) == []
        assert at_hand.row(task_id) == before

    def test_takes_only_what_it_is_told(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """The condition names the rows; others go on."""
        one, other = at_hand.add(), at_hand.add()
        with ledger.database.transaction() as connection:
            assert ledger.cancel(connection, is_of_run("no run")) == []
            ledger.cancel(connection, is_task(one))
        assert at_hand.row(other).state == State.QUEUED


class TestGiveBack:
    def test_queues_the_row_as_if_it_had_not_started(
        self, at_hand: LedgerOnHand, ledger: TaskLedger
    ) -> None:
        """The loss of a worker uses up no attempt of the task (R10)."""
        task_id = at_hand.add(timeout=3.0, celery_result=True)
        ledger.claim(task_id, "fence", "agent")
        ledger.heartbeat(task_id, "fence", 0.5)
        at_hand.clock.move(7)
        (hint,), ended = at_hand.give_back(task_id, "fence")
        assert (hint.task_id, hint.queue, hint.timeout, hint.celery_result) == (
            task_id,
            "bench",
            3.0,
            True,
        )
        assert ended == []
        row = at_hand.row(task_id)
        assert (row.state, row.attempt, row.losses) == (State.QUEUED, 0, 1)
        assert row.fence is row.started_at is row.progress is None
        assert row.queued_at == at_hand.clock.instant
        claimed = ledger.claim(task_id, "second", "other agent")
        assert claimed is not None
        assert claimed.attempt == 1

    def test_fails_a_task_that_workers_die_of(
        self, at_hand: LedgerOnHand, ledger: TaskLedger
    ) -> None:
        """After so many losses the task itself is taken for the cause (R10)."""
        task_id = at_hand.add()
        for loss in range(1, MAX_LOSSES + 1):
            ledger.claim(task_id, f"fence-{loss}", "agent")
            queued, ended = at_hand.give_back(task_id, f"fence-{loss}")
            assert bool(queued) == (loss < MAX_LOSSES)
        (settled,) = ended
        assert (settled.task_id, settled.state) == (task_id, State.FAILED)
        row = at_hand.row(task_id)
        assert (row.state, row.error_code, row.attempt) == (State.FAILED, "worker_lost", 1)
        assert "3 workers died" in row.error_message
        assert row.finished_at == at_hand.clock.instant
        assert ledger.claim(task_id, "fence-4", "agent") is None

    def test_a_death_with_another_cause_counts_against_no_task(
        self, at_hand: LedgerOnHand, ledger: TaskLedger
    ) -> None:
        """However often a worker is ended in the middle of a task, it runs again."""
        task_id = at_hand.add()
        for loss in range(MAX_LOSSES + 1):
            ledger.claim(task_id, f"fence-{loss}", f"ended-{loss}")
            with ledger.database.transaction() as connection:
                where = is_claimed_by(f"ended-{loss}")
                queued, _ = ledger.give_back(connection, where, Death.EXPLAINED)
            assert [hint.task_id for hint in queued] == [task_id]

    def test_a_worker_that_dies_whole_makes_its_tasks_suspects(
        self, at_hand: LedgerOnHand, ledger: TaskLedger
    ) -> None:
        """Only a suspect is blamed for the deaths that follow, as it runs alone (R10)."""
        task_id = at_hand.add()
        for death in range(MAX_SUSPICIONS + MAX_LOSSES):
            claimed = ledger.claim(task_id, f"fence-{death}", f"dead-{death}")
            assert claimed is not None
            assert claimed.is_suspect == (death >= MAX_SUSPICIONS)
            with ledger.database.transaction() as connection:
                where = is_claimed_by(f"dead-{death}")
                queued, ended = ledger.give_back(connection, where, Death.WITH_OTHERS)
            assert bool(queued) == (death < MAX_SUSPICIONS + MAX_LOSSES - 1)
        assert [settled.task_id for settled in ended] == [task_id]
        assert at_hand.row(task_id).error_code == "worker_lost"

    def test_takes_only_what_runs(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """What the dead worker had not begun, or had ended, is not its any more."""
        ended, waiting = at_hand.add(), at_hand.add()
        ledger.claim(ended, "fence", "agent")
        at_hand.finish(ended, "fence", Done("3"))
        assert at_hand.give_back(ended, "fence") == ([], [])
        assert at_hand.give_back(waiting, "fence") == ([], [])
        assert at_hand.row(ended).state == State.SUCCEEDED

    def test_takes_all_that_an_agent_ran(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """A worker that dies whole leaves several claims behind."""
        task_ids = [at_hand.add() for _ in range(3)]
        for task_id, agent in zip(task_ids, ("dead", "dead", "alive"), strict=True):
            ledger.claim(task_id, task_id, agent)
        with ledger.database.transaction() as connection:
            queued, ended = ledger.give_back(connection, is_claimed_by("dead"), Death.ALONE)
        assert ({hint.task_id for hint in queued}, ended) == (set(task_ids[:2]), [])
        assert at_hand.row(task_ids[2]).state == State.RUNNING


class TestReconcile:
    @pytest.fixture
    def at_hand(self, alone: LedgerOnHand) -> LedgerOnHand:
        """Return a ledger in which every row counts."""
        return alone

    def test_queues_what_is_due(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """The longest overdue leave first, at most so many at a time; each only once."""
        start = at_hand.clock.instant
        soon, sooner, later = (
            at_hand.add(scheduled_at=start + timedelta(seconds=seconds)) for seconds in (2, 1, 9)
        )
        assert ledger.release_due(10) == []
        at_hand.clock.move(5)
        assert [hint.task_id for hint in ledger.release_due(1)] == [sooner]
        assert [hint.task_id for hint in ledger.release_due(10)] == [soon]
        assert ledger.release_due(10) == []
        row = at_hand.row(soon)
        assert (row.state, row.queued_at) == (State.QUEUED, at_hand.clock.instant)
        assert at_hand.row(later).state == State.SCHEDULED

    def test_knows_when_the_next_row_falls_due(
        self, at_hand: LedgerOnHand, ledger: TaskLedger
    ) -> None:
        """Rows that wait for nothing, or for other rows, do not count; what is overdue is so."""
        assert ledger.seconds_until_due() is None
        at_hand.add()
        assert ledger.seconds_until_due() is None
        for seconds in (9, 4):
            at_hand.add(scheduled_at=at_hand.clock.instant + timedelta(seconds=seconds))
        assert ledger.seconds_until_due() == 4
        at_hand.clock.move(5)
        assert ledger.seconds_until_due() == -1
        ledger.release_due(10)
        assert ledger.seconds_until_due() == 4

    def test_many_sweeps_at_once_queue_each_row_once(
        self, at_hand: LedgerOnHand, ledger: TaskLedger
    ) -> None:
        """Any number of beats may run."""
        due = at_hand.clock.instant + timedelta(seconds=1)
        task_ids = [at_hand.add(scheduled_at=due) for _ in range(40)]
        at_hand.clock.move(2)
        barrier = threading.Barrier(4)

        def sweep(_number: int) -> list[str]:
            barrier.wait()
            released: list[str] = []
            while hints := ledger.release_due(5):
                released += [hint.task_id for hint in hints]
            return released

        with ThreadPoolExecutor(4) as threads:
            released = [task_id for ids in threads.map(sweep, range(4)) for task_id in ids]
        # One that found every row locked has left before the others were done.
        released += [hint.task_id for hint in ledger.release_due(40)]
        assert sorted(released) == sorted(task_ids)

    def test_finds_what_no_worker_took(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """Rows of one queue that have waited so long, the oldest first, at most so many."""
        first = at_hand.add()
        at_hand.clock.move(1)
        second, running, other = at_hand.add(), at_hand.add(), at_hand.add(queue="other")
        ledger.claim(running, "fence", "agent")
        at_hand.clock.move(5)
        at_hand.add()

        def waiting(queue: str, limit: int = 10) -> list[str]:
            return [hint.task_id for hint in ledger.queued_longer_than(queue, 5, limit)]

        assert waiting("bench") == [first, second]
        assert waiting("bench", limit=1) == [first]
        assert waiting("other") == [other]
        assert waiting("none") == []

    def test_counts_the_wait_anew_when_a_worker_is_lost(
        self, at_hand: LedgerOnHand, ledger: TaskLedger
    ) -> None:
        """A row that was given back has just been sent."""
        task_id = at_hand.add()
        ledger.claim(task_id, "fence", "agent")
        at_hand.clock.move(60)
        at_hand.give_back(task_id, "fence")
        assert ledger.queued_longer_than("bench", 5, 10) == []


class TestRead:
    @pytest.fixture
    def at_hand(self, alone: LedgerOnHand) -> LedgerOnHand:
        """Return a ledger in which every row counts."""
        return alone

    def test_lists_the_newest_first(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """Filters narrow the list, and a limit cuts it."""
        rows = [{}, {"task_type": "bench.mul"}, {"queue": "other"}]
        task_ids = []
        for fields in rows:
            task_ids.append(at_hand.add(**fields))
            at_hand.clock.move(1)
        ledger.claim(task_ids[0], "fence", "agent")

        def found(**filters: object) -> list[str]:
            return [row.task_id for row in ledger.list(**filters)]  # type: ignore[arg-type]

        assert found() == task_ids[::-1]
        assert found(limit=1) == task_ids[2:]
        assert found(state=State.RUNNING) == task_ids[:1]
        assert found(task_type="bench.mul") == task_ids[1:2]
        assert found(queue="other") == task_ids[2:]
        assert found(run_id="none") == []

    def test_counts_by_queue_and_state(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """What is nowhere is left out."""
        assert ledger.counts() == {}
        first = at_hand.add()
        at_hand.add()
        at_hand.add(queue="other")
        ledger.claim(first, "fence", "agent")
        assert ledger.counts() == {
            ("bench", State.QUEUED): 1,
            ("bench", State.RUNNING): 1,
            ("other", State.QUEUED): 1,
        }

    def test_gets_many_at_once(self, at_hand: LedgerOnHand, ledger: TaskLedger) -> None:
        """Ids that are unknown are left out, however many there are."""
        task_ids = [at_hand.add() for _ in range(3)]
        unknown = [f"unknown-{number}" for number in range(2000)]
        rows = ledger.get_many([*task_ids, *unknown])
        assert {row.task_id for row in rows} == set(task_ids)
        assert ledger.get_many([]) == []
