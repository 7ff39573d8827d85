import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic_core import PydanticSerializationError
from support.inline import Calc, RefusedError

from datamcp.errors import (
    AgentError,
    InvalidParametersError,
    ProcessingError,
    UnknownTaskTypeError,
)
from datamcp.testing import FakeClock, Situation, run_capability


def test_returns_what_the_capability_returned() -> None:
    """And what it reported on the way."""
    run = run_capability(Calc, "add", a=1, b=2)
    assert (run.value, run.data, run.progress) == (3, 3, [0.5])


def test_runs_a_coroutine() -> None:
    """With an event loop or without one around it."""
    assert run_capability(Calc, "add_later", a=1, b=2).value == 3

    async def inside() -> int:
        value: int = run_capability(Calc, "add_later", a=3, b=4).value
        return value

    assert asyncio.run(inside()) == 7


def test_uses_an_instance_that_was_prepared() -> None:
    """So a test can hand in what the agent depends on."""
    calc = Calc()
    run_capability(calc, "add", a=1)
    run_capability(calc, "add", a=1)
    assert calc.calls == 2


def test_checks_parameters_as_an_enqueue_does() -> None:
    """What no caller could send does not get in."""
    with pytest.raises(InvalidParametersError) as caught:
        run_capability(Calc, "add", a="1", c=2)
    assert {problem.path for problem in caught.value.problems} == {"a", "c"}


def test_says_which_capabilities_there_are() -> None:
    """A misspelt name gets a hint."""
    with pytest.raises(UnknownTaskTypeError, match=r"did you mean 'calc\.add'"):
        run_capability(Calc, "ad")


def test_raises_what_the_capability_raises() -> None:
    """As it is, from where it was raised."""
    with pytest.raises(RefusedError) as caught:
        run_capability(Calc, "refuse")
    assert caught.value.code == 7
    assert caught.traceback[-1].name == "refuse"


def test_refuses_a_result_without_a_json_form() -> None:
    """A task that returned it would fail."""
    with pytest.raises(PydanticSerializationError):
        run_capability(Calc, "strange")


def test_cancels_at_a_heartbeat() -> None:
    """The second one learns of it; and there it may have been from the start."""
    assert run_capability(Calc, "until_cancelled", Situation(cancelled_after=2)).value == 2
    assert run_capability(Calc, "until_cancelled", Situation(cancelled_after=0)).value == 0


def test_tells_the_situation() -> None:
    """The capability sees what the test made up."""
    clock = FakeClock()
    situation = Situation(
        task_id="one",
        attempt=3,
        timeout=5,
        run_id="run",
        step_id="step",
        agent_id="calc-1",
        clock=clock,
    )
    assert run_capability(Calc, "situation", situation).value == {
        "task": {"task_id": "one", "task_type": "calc.situation", "parameters": {}},
        "attempt": 3,
        "key": "one",
        "deadline": clock.now() + timedelta(seconds=5),
        "step": ("run", "step"),
        "agent": "calc-1",
    }


def test_gives_it_a_folder(tmp_path: Path) -> None:
    """For its workspace, and for the files that its parameters name."""
    here = Situation(folder=tmp_path)
    path = run_capability(Calc, "write", here, text="hello").value
    assert Path(path).is_relative_to(tmp_path)
    assert run_capability(Calc, "read", here, path=path).value == "hello"


def test_does_without_a_folder_until_one_is_needed(tmp_path: Path) -> None:
    """Then it says how to give one; files elsewhere are out of reach."""
    with pytest.raises(AgentError, match=r"Situation\(folder=tmp_path\)"):
        run_capability(Calc, "write", text="hello")
    (tmp_path / "note.txt").write_text("hello")
    with pytest.raises(ProcessingError):
        run_capability(Calc, "read", path=str(tmp_path / "note.txt"))


def test_leaves_no_context_behind() -> None:
    """Once it has returned, no task runs here."""
    calc = Calc()
    run_capability(calc, "add", a=1)
    with pytest.raises(AgentError, match="no task is running here"):
        _ = calc.context
