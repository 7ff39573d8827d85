import json

import pytest

from datamcp.testing import DrainLimitError, NobodyRunsItError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            NobodyRunsItError("one", "scheduled", "13:00"),
            "one is scheduled, and due at 13:00: move the clock there first, or do not wait for it",
        ),
        (
            NobodyRunsItError("one", "running"),
            "one is running: it waits for itself, or for what waits for it",
        ),
        (
            NobodyRunsItError("one", "queued"),
            "one is queued, and nothing that can run now ends it",
        ),
    ],
)
def test_waiting_in_vain_says_why(error: NobodyRunsItError, said: str) -> None:
    """Also after its way through JSON, as when a capability has raised it."""
    again = type(error)(*json.loads(json.dumps(error.args)))
    assert str(error) == str(again) == said
    assert vars(again) == vars(error)


def test_a_drain_without_end_says_what_ran() -> None:
    """The last tasks, in order."""
    assert "made 5 attempts" in str(DrainLimitError(5, ["a.b", "a.c"]))
    assert "the last were a.b, a.c." in str(DrainLimitError(5, ["a.b", "a.c"]))
