import os
import signal
import subprocess
from threading import Event

import pytest

from datamcp.stack.errand import Errand
from datamcp.stack.requests import Requests


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_are_counted_and_interrupt_nothing(signum: signal.Signals) -> None:
    """Whoever waits for them wakes at once; afterwards all is as before."""
    before = signal.getsignal(signum)
    with Requests() as requests:
        os.kill(os.getpid(), signum)
        requests.wait(60)
        assert (requests.count, requests.first) == (1, signum)
        os.kill(os.getpid(), signal.SIGTERM)
        assert (requests.count, requests.first) == (2, signum)
    assert signal.getsignal(signum) is before


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_is_obeyed_where_its_time_has_come(signum: signal.Signals) -> None:
    """And nowhere else; the exit code is that of a process which the signal ends."""
    with Requests() as requests:
        requests.obey()
        os.kill(os.getpid(), signum)
        requests.wait(60)
        with pytest.raises(SystemExit) as left:
            requests.obey()
    assert left.value.code == 128 + signum


def test_an_interrupt_is_obeyed_as_one() -> None:
    """So whoever hears of it says so."""
    with Requests() as requests:
        os.kill(os.getpid(), signal.SIGINT)
        requests.wait(60)
        with pytest.raises(KeyboardInterrupt):
            requests.obey()


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As after `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Requests() as requests:
            os.kill(os.getpid(), signal.SIGHUP)
            assert requests.count == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_death_of_a_child_wakes() -> None:
    """It is no request to end."""
    with Requests() as requests, subprocess.Popen(["true"]) as child:
        requests.wait(60)
        child.wait()
        assert requests.count == 0


def test_an_errand_takes_its_time() -> None:
    """Nobody waits for it longer than he likes; what it raises is raised where it is asked for."""
    gate = Event()

    def fetch() -> int:
        gate.wait(60)
        return 42

    errand = Errand(fetch)
    assert not errand.wait(0.01)
    gate.set()
    assert errand.wait(60)
    assert errand.result() == 42
    failing = Errand(lambda: 1 // 0)
    assert failing.wait(60)
    with pytest.raises(ZeroDivisionError):
        failing.result()
