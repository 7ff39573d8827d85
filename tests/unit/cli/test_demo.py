"""A signal that comes where no exception may be raised; `tests/acceptance` runs the demo itself."""

import os
import signal
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from datamcp.cli.tree import tree


class _Thing:
    """Something that is gone in a moment."""


def _send_in_a_callback(signum: signal.Signals) -> None:
    """Send this process a signal whose handler runs where Python swallows whatever is raised."""

    def gone(_reference: object) -> None:
        os.kill(os.getpid(), signum)
        sum(range(1000))  # the handler runs here at the latest

    thing = _Thing()
    reference = weakref.ref(thing, gone)
    del thing
    assert reference() is None


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_no_signal_is_lost(
    signum: signal.Signals, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo leaves at the next step: before it has started any process, here."""
    monkeypatch.setenv("DATAMCP_BROKER__URL", "redis://127.0.0.1:1/0")  # nothing listens there

    @contextmanager
    def runtime(_stack: object) -> Iterator[Any]:
        _send_in_a_callback(signum)
        pipelines = SimpleNamespace(register_pipeline=lambda _definition: None)
        yield SimpleNamespace(
            settler=None, presence=None, pipelines=SimpleNamespace(sync=pipelines)
        )

    started: list[object] = []
    monkeypatch.setattr("datamcp.cli.demo._runtime", runtime)
    monkeypatch.setattr("datamcp.stack.stack.Stack.start", started.append)
    before = signal.getsignal(signum)
    result = CliRunner().invoke(tree, ["demo"], prog_name="datamcp")
    assert (result.exit_code, started) == (code, [])
    assert signal.getsignal(signum) is before
