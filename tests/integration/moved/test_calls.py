from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery import chain, chord, group
from celery.result import GroupResult
from support.eventually import eventually
from support.moved import Moved
from support.workers import SOON, words_in

from datamcp import Task
from datamcp.errors import InvalidParametersError, TaskError, UnknownTaskTypeError
from datamcp.tasks.states import State

MOMENT = datetime(2026, 3, 4, 5, 6, 7, 8, tzinfo=UTC)


def test_a_call_is_a_row_under_its_celery_name(project: Moved) -> None:
    """It has the queue of its agent type, and the limits that the task itself has: none."""
    answer = project.task("add").delay(1, y=2)
    assert answer.get(timeout=SOON) == 3
    tasks = project.installed.runtime.tasks
    status = tasks.status(answer.id)
    assert (status.task_type, status.queue) == (project.name("add"), "legacy")
    assert (status.state, status.attempt, status.max_attempts) == (State.SUCCEEDED, 1, 4)
    assert tasks.result(answer.id).data == 3
    assert project.installed.runtime.tasks._row(answer.id).timeout is None


def test_a_task_is_enqueued_like_any_other(project: Moved) -> None:
    """By its name, with parameters by name; also one whose name has no module."""
    tasks = project.installed.runtime.tasks
    assert project.installed.run(project.name("add"), x=1, y=2).data == 3
    given = tasks.enqueue(
        Task(task_type=f"{project.package}-echo", parameters={"a": 1}, priority=9)
    )
    assert tasks.result(given, timeout=SOON).data == [[], {"a": 1}, ["int"]]


@pytest.mark.parametrize(
    ("args", "kwargs", "types"),
    [
        ((1, "a", None, [1, {"b": 2.5}]), {"c": True}, ["int", "str", "NoneType", "list", "bool"]),
        ((MOMENT, date(2026, 3, 4)), {"t": MOMENT.time()}, ["datetime", "date", "time"]),
        ((Decimal("1.10"), UUID(int=7)), {}, ["Decimal", "UUID"]),
        ((b"text", b"\xff\x00"), {}, ["bytes", "bytes"]),
        (("\0 and \ud800 and ü",), {"deep": {"when": [MOMENT]}}, ["str", "dict"]),
    ],
)
def test_values_arrive_as_what_they_were(
    project: Moved, args: tuple[Any, ...], kwargs: dict[str, Any], types: list[str]
) -> None:
    """Whatever kombu's JSON could carry; and they come back so."""
    app = project.installed.runtime.app
    answer = app.send_task(f"{project.package}-echo", args, kwargs)
    given, named, seen = answer.get(timeout=SOON)
    assert (given, named, seen) == (list(args), kwargs, types)


def test_annotations_are_not_looked_at(project: Moved) -> None:
    """A project whose annotations are wrong works as before; the ledger shows plain JSON."""
    add = project.task("add")
    assert add.delay("a", y="b").get(timeout=SOON) == "ab"
    answer = project.task("tomorrow").delay(MOMENT)
    assert answer.get(timeout=SOON) == MOMENT + timedelta(days=1)
    data = project.installed.runtime.tasks.result(answer.id).data
    assert datetime.fromisoformat(data) == MOMENT + timedelta(days=1)


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1, 2, 3), {}), ((1,), {"z": 1})])
def test_a_call_that_does_not_fit_is_refused_as_by_celery(
    project: Moved, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """`delay` raises TypeError; where Celery would look at nothing, we do."""
    add = project.task("add")
    with pytest.raises(TypeError):
        add.delay(*args, **kwargs)
    with pytest.raises(InvalidParametersError, match=r"tasks\.add"):
        project.installed.runtime.app.send_task(add.name, args, kwargs)


def test_what_can_not_be_sent_is_refused(project: Moved) -> None:
    """Nothing is written."""
    add, app = project.task("add"), project.installed.runtime.app
    with pytest.raises(InvalidParametersError, match=r"\[0\]: has no JSON form"):
        add.delay(object())
    with pytest.raises(TaskError, match="serializer 'pickle' is refused"):
        add.apply_async((1,), serializer="pickle")
    with pytest.raises(UnknownTaskTypeError, match="did you mean"):
        app.send_task(project.name("ad"), (1,))
    with pytest.raises(TaskError, match=r"add it to `agents\.legacy\.queues`"):
        add.apply_async((1,), queue="bulk")


def test_a_task_knows_itself(project: Moved) -> None:
    """`self.request` and `current_task` say what Celery's documentation says."""
    task_id = str(uuid4())
    answer = project.task("describe").apply_async(
        (1,), {"b": 2}, task_id=task_id, headers={"tenant": "a"}
    )
    told = answer.get(timeout=SOON)
    assert (told["id"], told["current"], told["root_id"]) == (task_id, task_id, task_id)
    assert (told["args"], told["kwargs"], told["retries"]) == ([1], {"b": 2}, 0)
    assert (told["name"], told["queue"]) == (project.name("describe"), "legacy")
    assert told["hostname"].startswith("legacy-")
    assert told["headers"] == {"tenant": "a"}
    assert told["parent_id"] is None
    assert (told["called_directly"], told["is_eager"]) == (False, False)


def test_here_and_now_nothing_is_written(project: Moved) -> None:
    """A direct call and `apply` run in this process, as ever."""
    before = len(project.installed.runtime.tasks.list(limit=1000))
    add, describe = project.task("add"), project.task("describe")
    assert add(1, y=2) == 3
    assert add.apply((1, 2)).get() == 3
    told = describe.apply((1,)).get()
    assert (told["is_eager"], told["args"]) == (True, [1]) or told["is_eager"]
    assert project.task("instead").apply(("task",)).get() == 23
    assert project.task("flaky").apply((str(project.installed.file()), 2)).get() == "after 2"
    assert len(project.installed.runtime.tasks.list(limit=1000)) == before


def test_queues_that_the_type_serves_may_be_named(project: Moved) -> None:
    """The task waits in that queue, and is sent there again if need be."""
    describe = project.task("describe")
    for queue in ("urgent", "celery", "legacy"):
        answer = describe.apply_async((), queue=queue)
        assert answer.get(timeout=SOON)["queue"] == queue
        assert project.installed.runtime.tasks.status(answer.id).queue == queue


def test_canvases_are_what_they_were(project: Moved) -> None:
    """Chains, groups, chords, chords of chains and of groups; immutable parts; maps and chunks."""
    add, total = project.task("add"), project.task("total")
    sums = chord([add.s(n, n) for n in range(4)], total.s())
    assert chain(add.s(1, 2), add.s(3), add.s(4)).apply_async().get(timeout=SOON) == 10
    assert group(add.s(n, n) for n in range(3))().get(timeout=SOON) == [0, 2, 4]
    assert sums.apply_async().get(timeout=SOON) == 12
    nested = chord([chain(add.s(n, 1), add.s(1)) for n in range(3)], total.s())
    assert nested.apply_async().get(timeout=SOON) == 9
    in_chain = chain(add.si(1, 1), group(add.s(1), add.s(2)), total.s(), add.s(100))
    assert in_chain.apply_async().get(timeout=SOON) == 107
    two = chord([sums.clone(), add.si(1, 1)], total.s())
    assert two.apply_async().get(timeout=SOON) == 14
    assert add.starmap([(1, 2), (3, 4)]).apply_async().get(timeout=SOON) == [3, 7]
    assert total.map([[1, 2], [3, 4]]).apply_async().get(timeout=SOON) == [3, 7]
    chunked = add.chunks(zip(range(6), range(6), strict=True), 2)
    assert chunked.apply_async().get(timeout=SOON) == [[0, 2], [4, 6], [8, 10]]


def test_a_chord_of_fifty_calls_back_once(project: Moved) -> None:
    """Each member is a row, and so is the body."""
    add, total = project.task("add"), project.task("total")
    answer = chord([add.s(n, 1) for n in range(50)], total.s()).apply_async()
    assert answer.get(timeout=SOON) == sum(range(50)) + 50
    bodies = project.installed.runtime.tasks.list(task_type=total.name, limit=1000)
    assert [one.task_id for one in bodies].count(answer.id) == 1


def test_a_saved_group_is_restored(project: Moved) -> None:
    """Its members answer whoever restores it."""
    add, app = project.task("add"), project.installed.runtime.app
    result = group(add.s(n, 0) for n in range(3)).apply_async()
    result.save()
    restored = GroupResult.restore(result.id, app=app)
    assert restored.get(timeout=SOON) == [0, 1, 2]
    assert restored.successful()


def test_links_are_followed_once(project: Moved) -> None:
    """Also those of both kinds that follow a failure."""
    path = project.installed.file()
    fail, mark = project.task("fail"), project.task("mark")
    link = mark.si(str(path))
    assert project.task("add").apply_async((1,), link=link).get(timeout=SOON) == 1
    eventually(lambda: words_in(path)[-1:] == ["return:SUCCESS"], timeout=SOON)
    errors = project.installed.file()
    answer = fail.apply_async(
        (),
        link_error=[
            project.task("errback").s(str(errors)),
            project.task("old_errback").s(str(errors)),
        ],
    )
    with pytest.raises(KeyError, match="on purpose"):
        answer.get(timeout=SOON)
    expected = {f"errback:{answer.id}:KeyError", f"old:{answer.id}"}
    eventually(lambda: set(words_in(errors)) == expected, timeout=SOON)
    assert len(words_in(errors)) == 2


def test_calls_from_inside_of_a_task_know_where_they_come_from(project: Moved) -> None:
    """They are in the ledger first, too, and in the trail of their parent."""
    tasks = project.installed.runtime.tasks
    answer = project.task("caller").delay(1)
    now, later, own = answer.get(timeout=SOON)
    assert tasks.result(now, timeout=SOON).data == 2
    assert tasks.result(later, timeout=SOON).data == 3
    rows = [tasks._row(one) for one in (now, later)]
    assert {(row.root_id, row.parent_id) for row in rows} == {(own, own)}
    assert {child.id for child in answer.children} == {now, later}


def test_progress_is_seen_by_whoever_waits(project: Moved) -> None:
    """`update_state` tells Celery's result backend, as ever."""
    gate = project.installed.gate()
    answer = project.task("progress").delay(str(gate))
    gate.await_arrival()
    eventually(lambda: answer.state == "PROGRESS", timeout=SOON)
    assert answer.info == {"current": 3, "total": 10}
    assert not answer.ready()
    gate.open()
    assert answer.get(timeout=SOON) == "done"
    assert (answer.state, answer.ready(), answer.successful()) == ("SUCCESS", True, True)
    answer.forget()
    assert answer.state == "PENDING"


def test_results_that_nobody_wants(project: Moved) -> None:
    """Then they need no form; else such a result is a failure."""
    path = project.installed.file()
    tasks = project.installed.runtime.tasks
    answer = project.task("forget").delay(str(path))
    assert answer.get(timeout=SOON) is None
    assert tasks.result(answer.id, timeout=SOON).state is State.SUCCEEDED
    kept = project.task("keep").delay()
    with pytest.raises(Exception, match="no JSON form"):
        kept.get(timeout=SOON)
    assert tasks.result(kept.id, timeout=SOON).error_code == "invalid_result"


def test_hooks_and_the_state_of_a_base_class_work(project: Moved) -> None:
    """In the order that Celery's documentation says, with the arguments of the call."""
    path = project.installed.file()
    assert project.task("mark").delay(str(path), 1).get(timeout=SOON) == "marked"
    expected = ["start:0", "success:marked", "return:SUCCESS"]
    eventually(lambda: words_in(path) == expected, timeout=SOON)


def test_a_rate_limit_holds_per_worker(project: Moved) -> None:
    """It slows the worker down, and loses nothing."""
    answers = [project.task("limited").delay(n) for n in range(5)]
    assert [answer.get(timeout=SOON) for answer in answers] == list(range(5))


def test_tasks_of_an_app_of_the_project_s_own_are_served(project: Moved) -> None:
    """As functions and as classes; what they call goes through the ledger, too."""
    own, tasks = f"{project.package}.own_app", project.installed.runtime.tasks
    app = project.installed.runtime.app
    assert app.send_task(f"{own}.double", (4,)).get(timeout=SOON) == 8
    assert app.send_task(f"{project.package}.halve", (5,)).get(timeout=SOON) == 2.5
    answer = app.send_task(f"{own}.quadruple", (4,)).get(timeout=SOON)
    assert answer["same"]
    assert tasks.result(answer["child"], timeout=SOON).data == 16
    assert tasks.status(answer["child"]).queue == "old"
    assert app.send_task(f"{own}.shared_in_between", (1,)).get(timeout=SOON) == 1
