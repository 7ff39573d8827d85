"""The scenarios of `chaos`, small. `make chaos` asks them in full size."""

from pathlib import Path

import pytest

from chaos.scenarios import SCENARIOS, Scale, Scenario, ask, hall

SCALE = Scale(lease=4, seconds=6.0, flushed=100, waiting=300, beating=12.0, dags=8)
QUICK = {"long-task-killed", "beats", "dags"}
THOROUGH = {"beats-redis"}


@pytest.mark.parametrize(
    "scenario",
    [
        *[one for one in SCENARIOS if one.name in QUICK],
        *[
            pytest.param(one, marks=pytest.mark.thorough)
            for one in SCENARIOS
            if one.name in THOROUGH
        ],
    ],
    ids=lambda scenario: scenario.name,
)
def test_a_scenario_goes_as_promised(tmp_path: Path, scenario: Scenario) -> None:
    """It has no complaint."""
    with hall(scenario, tmp_path, SCALE) as found:
        assert ask(scenario, found).complaints == []
