"""`http.post` as a task: what the server is told when an attempt is repeated."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.inline import calculating, enqueue
from support.site import Answer, Site, json_of, serving

from datamcp.tasks.retry import RetryPolicy
from datamcp.tasks.states import State
from datamcp.testing import drain


@pytest.fixture
def site() -> Iterator[Site]:
    """Have a server on the loopback interface."""
    with serving() as site:
        yield site


def test_attempts_have_one_key(tmp_path: Path, sqlite_url: str, site: Site) -> None:
    """The task is tried again where the server was busy, with the key of its first attempt."""
    integration = {
        "integrations.crm.type": "http",
        "integrations.crm.url": site.url,
        "integrations.crm.options.allow_private": "true",
    }
    site.say_in_turn("/orders", [Answer(status=503), json_of({"id": 7})])
    order = {"connection": "crm", "path": "orders", "body": {"n": 1}, "retries": 0}
    again = RetryPolicy(max_attempts=2, delay=0)
    with calculating(tmp_path / "installation", sqlite_url, **integration) as runtime:
        task_id = enqueue(runtime, "http.post", order, retry_policy=again)
        (ended,) = drain(runtime)
    assert (ended.state, ended.attempt) == (State.SUCCEEDED, 2)
    assert ended.data["output"]["value"] == {"id": 7}
    assert [one.headers["idempotency-key"] for one in site.asked] == [task_id, task_id]
