import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.eventually import eventually

from datamcp.clock import SystemClock
from datamcp.config.loader import load
from datamcp.config.settings import GlobalConfig
from datamcp.errors import StackError
from datamcp.infra.celery import nodename
from datamcp.stack.life import Died, Event, Started
from datamcp.stack.process import Kind, Process
from datamcp.stack.stack import Stack

ENDLESS = "import signal; signal.pause()"


class HandClock(SystemClock):
    """A clock whose seconds are counted by hand."""

    def __init__(self) -> None:
        """Begin anywhere."""
        self.time = 1000.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.time


@pytest.fixture
def clock() -> HandClock:
    """Return a clock that stands still."""
    return HandClock()


@pytest.fixture
def config(tmp_path: Path) -> GlobalConfig:
    """Return a configuration with a broker, which nobody asks here."""
    overrides = {"system.state_dir": str(tmp_path / "state"), "broker.url": "redis://127.0.0.1:1/0"}
    return load(environ={}, overrides=overrides).config


def process(code: str) -> Process:
    """Return a process that runs a line of Python."""
    return Process("it", Kind.WORKER, [sys.executable, "-c", code], node="it")


def happening(stack: Stack) -> Iterator[Event]:
    """Yield what happens, for ever."""
    while True:
        yield from eventually(stack.tend)


def test_a_process_that_refuses_to_start_is_told_in_its_own_words(config: GlobalConfig) -> None:
    """With its exit code; another start would end in the same way."""
    code = "import sys; print('Error: lab: is wrong'); sys.exit(2)"
    with Stack(config, [process(code)]) as stack:
        stack.start()
        with pytest.raises(StackError) as caught:
            eventually(stack.tend)
    assert str(caught.value) == "lab: is wrong (it did not start)"
    assert caught.value.exit_code == 2


def test_a_process_that_dies_young_is_given_up(config: GlobalConfig, clock: HandClock) -> None:
    """After some starts, each later than the one before; its log is named."""
    with Stack(config, [process("raise SystemExit(1)")], clock=clock) as stack:
        stack.start()
        events = happening(stack)
        for number, pause in enumerate((0, 1, 2)):
            died = next(events)
            assert isinstance(died, Died)
            pid = stack.pids["it"][number]
            assert (died.delay, died.process_id) == (pause, nodename("it", pid))
            assert pause == 0 or stack.tend() == []
            clock.time += pause
            assert isinstance(next(events), Started)
        with pytest.raises(StackError, match=r"exited 1; its log is .*it\.log \(started 4 times\)"):
            next(events)


def test_a_lasting_stack_never_gives_up(config: GlobalConfig, clock: HandClock) -> None:
    """Not even when a start is refused; what lived for a minute starts again at once."""
    code = "import sys; print('Error: a is away'); sys.exit(3)"
    with Stack(config, [process(code)], clock=clock) as stack:
        stack.is_lasting = True
        stack.start()
        events, pauses = happening(stack), []
        for event in events:
            if isinstance(event, Died):
                assert event.reason.endswith(" exited 3: a is away")
                pauses.append(event.delay)
                clock.time += event.delay
            if len(pauses) == 7:
                break
        assert pauses == [0, 1, 2, 4, 8, 16, 30]
        assert isinstance(next(events), Started)
        clock.time += 60
        died = next(events)
        assert isinstance(died, Died)
        assert died.delay == 0
        assert [record.restarts for record in stack.records()] == [8]


def test_a_start_that_fails_is_tried_again(config: GlobalConfig, clock: HandClock) -> None:
    """A disk that is full keeps no process away for longer than it must."""
    log = config.system.state_dir / "logs" / "it.log"
    with Stack(config, [process(ENDLESS)], clock=clock) as stack:
        stack.is_lasting = True
        log.mkdir()  # so it can't be written to
        (failed,) = stack.start()
        assert isinstance(failed, Died)
        assert failed.reason == "it cannot be started: Is a directory"
        log.rmdir()
        (started,) = stack.tend()
        assert isinstance(started, Started)
        assert stack.alive(Kind.WORKER) == ["it"]


def test_what_is_stopped_is_not_started_again(config: GlobalConfig) -> None:
    """An urgent stop does not wait for those that don't end by themselves."""
    stubborn = "import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True); "
    with Stack(config, [process(f"{stubborn}signal.pause()")]) as stack:
        stack.start()
        log = config.system.state_dir / "logs" / "it.log"
        eventually(log.read_text)
        (ended,) = stack.stop([Kind.WORKER], 60, is_urgent=lambda: True)
        assert ended.signal_name == "SIGKILL"
        assert stack.alive(Kind.WORKER) == []
