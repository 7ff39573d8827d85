import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.source import REPOSITORY


@pytest.mark.parametrize(
    "names", [["call"], pytest.param(["call", "layers"], marks=pytest.mark.thorough)], ids=" ".join
)
def test_a_quick_run_measures_both_sides_and_leaves_nothing(
    tmp_path: Path, names: list[str]
) -> None:
    """One round: both sides are checked, measured and counted, and then gone."""
    figures = tmp_path / "figures.json"
    options = ["--quick", "--rounds", "1", "--no-sqlite", "--json", str(figures)]
    options += [word for name in names for word in ("--only", name)]
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks", *options],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    found = json.loads(figures.read_text())
    assert [scenario["name"] for scenario in found["scenarios"]] == names
    for scenario in found["scenarios"]:
        assert {"raw", "datamcp, PostgreSQL"} <= scenario["sides"].keys()
        for side in scenario["sides"].values():
            assert len(side["costs"]) == 1
            assert side["requests"]["commands"] > 0
    assert found["scenarios"][0]["sides"]["datamcp, PostgreSQL"]["requests"]["commits"] >= 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.json"]


def pipelines(tmp_path: Path, *only: str) -> dict[str, Any]:
    """Measure scenarios, or all, for one round; return the figures of each of their sides.

    What was started is gone, and nothing is left but the figures.
    """
    figures = tmp_path / "figures.json"
    options = ["--quick", "--json", str(figures), *(f"--only={name}" for name in only)]
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks.pipelines", *options],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.json"]
    found = {each["name"]: each["sides"] for each in json.loads(figures.read_text())["scenarios"]}
    assert all(side["values"] for sides in found.values() for side in sides.values())
    return found


def test_a_quick_run_of_pipelines_measures_all_sides(tmp_path: Path) -> None:
    """Each scenario is checked, measured and counted; gates, too."""
    found = pipelines(tmp_path, "chain", "n-shape")
    assert "datamcp, PostgreSQL, gated" in found["chain"]
    assert found["chain"]["datamcp, PostgreSQL"]["requests"]["commits"] >= 2
    n_shape = found["n-shape"]
    ours, level_by_level = (
        n_shape[side]["values"]["d"][0] for side in ("datamcp, PostgreSQL", "raw, level by level")
    )
    assert ours < level_by_level  # which waits for the second that a takes


@pytest.mark.thorough
def test_a_quick_run_of_all_scenarios_of_pipelines(tmp_path: Path) -> None:
    """What has no side of raw Celery has another one."""
    found = pipelines(tmp_path)
    assert found["random"].keys() == {"raw", "datamcp, PostgreSQL"}
    assert found["tables"].keys() == {"DuckDB alone", "datamcp, PostgreSQL"}
