import threading
from pathlib import Path

import pytest

from benchmarks import tally
from benchmarks.tally import Execution, Tally, WrongResultError, check_layers, check_once


@pytest.fixture
def executions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tally:
    """Have the tally of a worker in this folder, which is this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tally, "_files", {})
    return Tally(tmp_path)


def test_an_execution_is_a_line_in_the_order_of_time(executions: Tally) -> None:
    """What tasks note is read as it was written, from a mark on."""
    assert (executions.count(0), executions.since(0)) == (0, [])
    tally.note(7)
    mark = executions.mark()
    assert [tally.note(8), tally.note(-1)] == [8, -1]
    assert [each.number for each in executions.since(mark)] == [8, -1]
    assert executions.count(0) == 3
    times = [each.at for each in executions.since(0)]
    assert times == sorted(times)


def test_a_held_task_waits_for_its_gate(executions: Tally, tmp_path: Path) -> None:
    """It is counted when it begins, and ends when the gate is there."""
    gate = tmp_path / "gate"
    gate.touch()
    held = threading.Thread(target=tally.hold, args=(3, str(gate)))
    held.start()
    held.join(5)
    assert not held.is_alive()
    assert executions.count(0) == 1


def _ran(*numbers: int) -> list[Execution]:
    return [Execution(number, float(at)) for at, number in enumerate(numbers)]


def test_a_round_is_right_where_each_task_ran_once() -> None:
    """The order does not matter."""
    check_once(_ran(2, 0, 1), range(3))


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((0, 1), r"not run: \[2\]"),
        ((0, 1, 2, 1), r"more than once: \[1\]"),
        ((0, 1, 2, 9), r"not asked for: \[9\]"),
    ],
)
def test_a_round_is_wrong_otherwise(numbers: tuple[int, ...], words: str) -> None:
    """A task that is missing, double or strange makes it an error, not a number."""
    with pytest.raises(WrongResultError, match=words):
        check_once(_ran(*numbers), range(3))


def test_a_layer_waits_for_the_one_before() -> None:
    """The barrier held, or the round is wrong."""
    layers = [range(2), range(2, 4)]
    check_layers(_ran(1, 0, 3, 2), layers)
    with pytest.raises(WrongResultError, match="did not wait"):
        check_layers(_ran(0, 2, 1, 3), layers)
