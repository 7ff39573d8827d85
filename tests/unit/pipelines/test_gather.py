"""What a step leaves that was repeated for each element of a list."""

import json
from typing import Any

from datamcp.pipelines.gather import gather
from datamcp.pipelines.step_ledger import Left
from datamcp.tasks.states import State


def left(state: State = State.SUCCEEDED, *, is_forgiven: bool = False, **output: Any) -> Left:
    """Return what one of many has left."""
    text = json.dumps(output) if state is State.SUCCEEDED else None
    message = None if state is State.SUCCEEDED else f"it {state}"
    return Left(state, is_forgiven, text, "t", None, message)


def value(*many: Left) -> Any:
    """Return the value of all together, which must succeed."""
    gathered = gather(many, "m")
    assert gathered.state is State.SUCCEEDED
    return json.loads(gathered.output or "")["value"]


def test_values_are_in_the_order_of_the_list() -> None:
    """Each as it is; where there is none, its path."""
    assert value(left(value=2), left(value=[1]), left(value=None), left(path="/x")) == [
        2,
        [1],
        None,
        "/x",
    ]
    assert value(left(value=False, path="/x"), left(value=0), left(value="")) == [False, 0, ""]


def test_of_nothing_is_an_empty_list() -> None:
    """With nothing to count."""
    gathered = gather([], "m")
    assert json.loads(gathered.output or "") == {
        "value": [],
        "records_out": None,
        "bytes_out": None,
    }


def test_what_is_forgiven_is_null() -> None:
    """Failed or timed out."""
    forgiven = left(State.FAILED, is_forgiven=True), left(State.TIMED_OUT, is_forgiven=True)
    assert value(left(value=1), *forgiven) == [1, None, None]


def test_counts_are_added_up() -> None:
    """Of those that have counted."""
    many = [left(records_out=2, bytes_out=10), left(records_out=0), left(value=1)]
    found = json.loads(gather(many, "m").output or "")
    assert (found["records_out"], found["bytes_out"]) == (2, 10)


def test_one_that_failed_fails_all() -> None:
    """The first reason is told; a cancel is never forgiven."""
    many = [left(value=1), left(State.TIMED_OUT), left(State.CANCELLED, is_forgiven=True)]
    gathered = gather(many, "m")
    assert (gathered.state, gathered.output, gathered.error_code) == (
        State.FAILED,
        None,
        "map_failed",
    )
    assert gathered.error_message == "2 of 3 did not succeed (m[1], m[2]): it timed_out"


def test_many_that_failed_are_not_all_named() -> None:
    """Five are."""
    message = str(gather([left(State.FAILED)] * 7, "m").error_message)
    assert message == (
        "7 of 7 did not succeed (m[0], m[1], m[2], m[3], m[4] and 2 more): it failed"
    )
