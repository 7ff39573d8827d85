import pytest

from datamcp.infra.processes import Exit


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "beat (pid 7) exited 0"),
        (3, "beat (pid 7) exited 3"),
        (-9, "beat (pid 7) was killed by SIGKILL"),
        (-15, "beat (pid 7) was killed by SIGTERM"),
        (-200, "beat (pid 7) was killed by signal 200"),
    ],
)
def test_says_in_words_how_a_process_ended(code: int, words: str) -> None:
    """An exit names the process, and its exit code or the signal that killed it."""
    assert str(Exit("beat", 7, code)) == words


def test_an_exit_by_itself_has_no_signal() -> None:
    """A process that ended by itself was killed by no signal."""
    assert Exit("beat", 7, 0).signal_name is None
