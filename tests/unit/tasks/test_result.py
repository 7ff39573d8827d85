"""What `AsyncResult` does at its end."""

from types import SimpleNamespace

from datamcp.tasks.result import LedgerResult


def test_a_program_that_ends_takes_nothing_back() -> None:
    """No connection can be made any more; else the subscription is cancelled, as Celery does it."""
    cancelled: list[object] = []
    result = LedgerResult("one", backend=SimpleNamespace(remove_pending_result=cancelled.append))
    result.__del__(lambda: True)
    assert cancelled == []
    result.__del__()
    assert cancelled == [result]
