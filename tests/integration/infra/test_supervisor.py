import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
from support.eventually import eventually
from support.processes import is_running, python

from datamcp.errors import ConfigError
from datamcp.infra.processes import Child, Supervisor

SOON = 60.0  # seconds in which a process has started or ended, on a busy machine
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
WITH_CHILD = """
import subprocess, sys
inner = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print(inner.pid, flush=True)
"""
FOREVER = "print('up', flush=True); signal.pause()"


def start(supervisor: Supervisor, log: Path, code: str, *arguments: str) -> Child:
    """Start a Python program under the supervisor, as `it`."""
    return supervisor.start("it", [sys.executable, "-c", code, *arguments], log_path=log)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return where the process writes."""
    return tmp_path / "it.log"


def start_with_grandchild(supervisor: Supervisor, log: Path) -> tuple[Child, int]:
    """Start a process with a child of its own that ignores SIGTERM; return it and that pid."""
    inner = f"{STUBBORN}signal.pause()"
    child = start(supervisor, log, f"import signal\n{WITH_CHILD}signal.pause()", inner)
    return child, int(eventually(child.log_tail))


def test_tells_how_a_process_ended_and_what_it_wrote(log: Path) -> None:
    """The exit code and the last lines of the output are there for whoever asks."""
    with Supervisor() as supervisor:
        child = start(supervisor, log, "import sys; print('one\\ntwo'); sys.exit(3)")
        ended = child.wait(SOON)
        assert ended is not None
        assert (ended.code, child.log_tail(1), supervisor.exits()) == (3, "two", [ended])


def test_tells_the_last_words_of_a_process_from_those_before_it(log: Path) -> None:
    """Also where the log was cut meanwhile; of a long story only the end."""
    log.write_text("somebody else\n")
    with Supervisor() as supervisor:
        child = start(supervisor, log, "print('mine')")
        child.wait(SOON)
        assert child.last_words() == "mine\n"
        log.write_text("cut\n")
        assert child.last_words() == "cut\n"
        child = start(supervisor, log, "print('x' * 100_000 + 'end')")
        child.wait(SOON)
        assert (len(child.last_words()), child.last_words()[-4:]) == (65_536, "end\n")


def test_names_the_signal_that_killed_a_process(log: Path) -> None:
    """A process that was killed from outside is known by name, pid and signal."""
    with Supervisor() as supervisor:
        child = start(supervisor, log, f"import signal; {FOREVER}")
        os.kill(child.pid, signal.SIGKILL)
        assert str(child.wait(SOON)) == f"it (pid {child.pid}) was killed by SIGKILL"


def test_gives_a_process_the_environment_and_folder_asked_for(log: Path, tmp_path: Path) -> None:
    """A process sees exactly the environment given, and starts in the folder given."""
    code = "import os; print(os.environ['COLOUR'], 'HOME' in os.environ, os.getcwd())"
    with Supervisor() as supervisor:
        child = supervisor.start(
            "it",
            [sys.executable, "-c", code],
            log_path=log,
            env={"COLOUR": "green"},
            cwd=tmp_path,
        )
        child.wait(SOON)
        assert child.log_tail() == f"green False {tmp_path}"


def test_starts_a_process_with_no_signal_ignored_or_blocked(log: Path) -> None:
    """What we or the interpreter did to signals does not reach the processes that we start."""
    code = "import signal as s; print(s.pthread_sigmask(s.SIG_BLOCK, ()))"
    with Supervisor() as supervisor:
        child = start(supervisor, log, code)
        child.wait(SOON)
        assert child.log_tail() == "set()"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_starts_a_process_that_a_broken_pipe_may_end(log: Path) -> None:
    """Python ignores SIGPIPE; a program that is not Python gets it back."""
    with Supervisor() as supervisor:
        child = supervisor.start("it", ["cat", "/proc/self/status"], log_path=log)
        child.wait(SOON)
        line = next(line for line in child.log_tail(100).splitlines() if "SigIgn" in line)
        assert not int(line.split()[1], 16) & 1 << signal.SIGPIPE - 1


def test_stops_politely_where_that_is_enough(log: Path) -> None:
    """A process that obeys SIGTERM ends by its own hand."""
    polite = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5)); "
    with Supervisor() as supervisor:
        child = start(supervisor, log, polite + FOREVER)
        eventually(child.log_tail)
        assert [ended.code for ended in supervisor.stop_all(timeout=SOON)] == [5]


def test_kills_what_does_not_obey(log: Path) -> None:
    """A process that ignores SIGTERM is gone after the time it was given."""
    with Supervisor() as supervisor:
        child = start(supervisor, log, STUBBORN + FOREVER)
        eventually(child.log_tail)
        assert [ended.code for ended in supervisor.stop_all(timeout=0.1)] == [-signal.SIGKILL]
        assert not is_running(child.pid)


def test_leaves_no_grandchild_behind(log: Path) -> None:
    """What a stopped process started goes with it, even if it ignores SIGTERM."""
    with Supervisor() as supervisor:
        _, grandchild = start_with_grandchild(supervisor, log)
        assert is_running(grandchild)
        supervisor.stop_all(timeout=SOON)
        assert not is_running(grandchild)


def test_leaves_no_grandchild_of_a_killed_process_behind(log: Path) -> None:
    """What a killed process started is ended as soon as the death is noticed."""
    with Supervisor() as supervisor:
        child, grandchild = start_with_grandchild(supervisor, log)
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait(SOON)
        eventually(lambda: not is_running(grandchild))


def test_leaves_nothing_behind_when_its_block_fails(log: Path) -> None:
    """An exception ends all processes, and is passed on."""
    supervisor = Supervisor()

    def fail() -> None:
        start(supervisor, log, f"import signal; {FOREVER}")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), supervisor:
        fail()
    assert not is_running(supervisor["it"].pid)


def test_stopping_twice_is_fine(log: Path) -> None:
    """A second stop changes nothing and gives the same exits."""
    with Supervisor() as supervisor:
        start(supervisor, log, f"import signal; {FOREVER}")
        assert supervisor.stop_all() == supervisor.stop_all()


def test_a_name_belongs_to_one_living_process(log: Path) -> None:
    """A name may be taken again only after its process has ended."""
    with Supervisor() as supervisor:
        first = start(supervisor, log, f"import signal; {FOREVER}")
        with pytest.raises(ValueError, match="already running"):
            start(supervisor, log, "pass")
        first.stop(SOON)
        assert start(supervisor, log, "pass").pid != first.pid


def test_refuses_a_program_that_does_not_exist(log: Path) -> None:
    """A missing program is told at once, by the name of what it was for."""
    with Supervisor() as supervisor, pytest.raises(ConfigError, match=r"start flower: .*'no-such'"):
        supervisor.start("flower", ["no-such"], log_path=log)


def test_leaves_no_pool_process_of_a_killed_celery_worker_behind(log: Path) -> None:
    """A Celery worker that was killed with -9 takes its prefork pool with it."""
    worker = ["worker", "--concurrency=2", "--without-gossip", "--without-mingle", "-l", "info"]
    with Supervisor() as supervisor:
        child = supervisor.start(
            "it", [sys.executable, "-m", "celery", "-b", "memory://", *worker], log_path=log
        )
        eventually(lambda: "ready." in child.log_tail(100), timeout=SOON)
        pool = [process.pid for process in psutil.Process(child.pid).children(recursive=True)]
        assert len(pool) == 2
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait(SOON)
        eventually(lambda: not any(is_running(pid) for pid in pool))


PARENT = """
import signal, sys
from pathlib import Path
from datamcp.infra.processes import Supervisor
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
with Supervisor() as supervisor:
    child = supervisor.start("it", ["sleep", "600"], log_path=Path(sys.argv[1]))
    print(child.pid, flush=True)
    signal.pause()
"""


def test_stops_everything_when_the_caller_obeys_sigterm(log: Path) -> None:
    """A caller that turns SIGTERM into an exception leaves nothing behind."""
    with python(PARENT, str(log)) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.terminate()
        assert parent.wait(SOON) == 143
        assert not is_running(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_nothing_survives_a_killed_parent(log: Path) -> None:
    """A parent that is killed with -9 takes its processes with it."""
    with python(PARENT, str(log)) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.kill()
        eventually(lambda: not is_running(pid))
