import pytest

from datamcp.infra.green import is_green, refusal


def test_nothing_is_green_here() -> None:
    """Where gevent has patched nothing, threads are threads."""
    assert not is_green()


def test_what_waits_in_python_may_run() -> None:
    """On PostgreSQL, whose driver can be told how to wait."""
    assert refusal(dialect="postgresql", coroutines=[]) is None


@pytest.mark.parametrize(
    ("dialect", "coroutines", "said"),
    [
        ("sqlite", [], "needs PostgreSQL"),
        ("postgresql", ["a.b"], "`async` (a.b)"),
        ("postgresql", ["a.b", "a.c", "a.d", "a.e"], "(a.b, a.c, a.d, …)"),
    ],
)
def test_what_holds_up_all_is_refused(dialect: str, coroutines: list[str], said: str) -> None:
    """With what to use in its place."""
    reason = refusal(dialect=dialect, coroutines=coroutines)
    assert reason is not None
    assert said in reason
    assert reason.endswith("Use the pool threads or prefork")
