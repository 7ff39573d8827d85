"""Tasks that call tasks, where the test's own thread is the worker."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.inline import Calc, calculating, copied, enqueue

from datamcp.errors import AgentError
from datamcp.tasks.states import State
from datamcp.testing import InlineRuntime, Situation, drain, run_capability
from datamcp.testing.sequence import rows_by_age


@pytest.fixture
def runtime(tmp_path: Path, sqlite_template: Path) -> Iterator[InlineRuntime]:
    """Have a runtime without workers."""
    with calculating(tmp_path, copied(sqlite_template, tmp_path / "ledger")) as found:
        yield found


def test_a_call_is_run_by_who_waits_for_it(runtime: InlineRuntime) -> None:
    """As in a worker: it is a task of its own, with its caller as parent."""
    task_id = enqueue(
        runtime, "calc.call", {"wanted": "calc.add", "parameters": {"a": 1, "b": 2}}, priority=7
    )
    drain(runtime)
    assert runtime.tasks.result(task_id).data == 3
    _, child = rows_by_age(runtime.database)
    assert (child.parent_id, child.root_id, child.call_depth) == (task_id, task_id, 1)
    assert (child.state, child.priority) == (State.SUCCEEDED, 7)


def test_calls_on_an_event_loop(runtime: InlineRuntime) -> None:
    """Each has its answer."""
    many = [{"a": number} for number in range(5)]
    task_id = enqueue(runtime, "calc.call_later", {"wanted": "calc.add_later", "many": many})
    drain(runtime)
    assert runtime.tasks.result(task_id).data == [0, 1, 2, 3, 4]


def test_a_call_by_celery_s_apply(runtime: InlineRuntime) -> None:
    """Where a capability runs without the ledger, what it calls does, too."""
    assert Calc.call.apply(args=("calc.add", {"a": 2})).get() == 2
    assert Calc.call_later.apply(args=("calc.add", [{"a": 2}, {"a": 3}])).get() == [2, 3]
    assert rows_by_age(runtime.database) == []


@pytest.mark.parametrize(
    ("task_type", "parameters", "said"),
    [
        ("calc.call", {"wanted": "calc.ad", "parameters": {}}, "unknown task type 'calc.ad'"),
        ("calc.call", {"wanted": "calc.add", "parameters": {"a": "x"}}, "invalid parameters for"),
        ("calc.call_on_loop", {}, "use `await self.context.acall(...)`"),
        ("calc.call_in_transaction", {}, "can't be called in a transaction"),
    ],
)
def test_what_can_t_be_called_is_refused_at_once(
    runtime: InlineRuntime, task_type: str, parameters: dict[str, object], said: str
) -> None:
    """With nothing written."""
    task_id = enqueue(runtime, task_type, parameters)
    drain(runtime)
    assert said in str(runtime.tasks.result(task_id).error_message)
    assert len(rows_by_age(runtime.database)) == 1


def test_calls_end_at_sixteen(runtime: InlineRuntime) -> None:
    """The seventeenth is refused."""
    first, second = (
        enqueue(runtime, "calc.dig", {"deep": 16}),
        enqueue(runtime, "calc.dig", {"deep": 17}),
    )
    drain(runtime)
    assert runtime.tasks.result(first).data == 16
    assert "16 calls stand one inside of the other" in str(
        runtime.tasks.result(second).error_message
    )
    assert max(row.call_depth or 0 for row in rows_by_age(runtime.database)) == 16


def test_the_next_attempt_finds_what_succeeded(runtime: InlineRuntime) -> None:
    """It is not run again; what failed is called anew."""
    good = enqueue(runtime, "calc.call_again", {"wanted": "calc.add", "parameters": {"a": 1}})
    bad = enqueue(runtime, "calc.call_again", {"wanted": "calc.fail_first", "parameters": {}})
    drain(runtime)
    runtime.clock.advance(hours=1)
    drain(runtime)
    assert runtime.tasks.result(good).data == 1
    assert runtime.tasks.result(bad).success
    children = [row for row in rows_by_age(runtime.database) if row.parent_id]
    assert sorted((row.parent_id == good, row.state) for row in children) == [
        (False, State.FAILED),
        (False, State.SUCCEEDED),
        (True, State.SUCCEEDED),
    ]


def test_no_full_queue_refuses_a_call(tmp_path: Path, sqlite_template: Path) -> None:
    """Its caller holds a slot already, and would wait for itself (protocol R16)."""
    url = copied(sqlite_template, tmp_path / "ledger")
    with calculating(tmp_path, url, **{"scheduler.max_queue_size": "1"}) as runtime:
        task_id = enqueue(
            runtime, "calc.call_later", {"wanted": "calc.add", "many": [{"a": 1}, {"a": 2}]}
        )
        drain(runtime, limit=1000)
        assert runtime.tasks.result(task_id).data == [1, 2]


class TestAlone:
    def test_answers_are_given_by_the_test(self) -> None:
        """A value, or a function of the parameters; what was called is told."""
        situation = Situation(calls={"calc.add": lambda a, b=0: a * 100 + b, "calc.name": None})
        run = run_capability(
            Calc, "call", situation, wanted="calc.add", parameters={"a": 1, "b": 2}
        )
        assert (run.data, run.calls) == (102, [("calc.add", {"a": 1, "b": 2})])
        run = run_capability(Calc, "call_later", situation, wanted="calc.add", many=[{"a": 1}])
        assert run.data == [100]
        run = run_capability(Calc, "call", situation, wanted="calc.name", parameters={})
        assert run.data is None

    def test_a_call_without_an_answer_says_how_to_give_one(self) -> None:
        """It can't be made up."""
        with pytest.raises(AgentError, match=r"Situation\(calls=\{'calc.add': ...\}\)"):
            run_capability(Calc, "call", wanted="calc.add", parameters={})
