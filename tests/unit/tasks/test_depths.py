import pytest

import datamcp
from datamcp.errors import BackendUnavailable
from datamcp.tasks.rounds import INTERVAL


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "amqp://127.0.0.1:1//"])
def test_a_broker_that_stays_away_is_told_each_time(url: str) -> None:
    """A sweep that failed leaves a closed connection behind; the next one must fail no worse."""
    with datamcp.connect(overrides={"broker.url": url}) as runtime:
        for _ in range(3):
            with pytest.raises(BackendUnavailable, match="Connection refused"):
                runtime.depths.ready("pipelines")
            assert runtime.rounds.go() == INTERVAL
