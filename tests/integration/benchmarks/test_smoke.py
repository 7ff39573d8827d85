import json
import subprocess
import sys
from pathlib import Path

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


def test_a_quick_run_of_pipelines_measures_all_sides_and_leaves_nothing(tmp_path: Path) -> None:
    """All scenarios, one round: each is checked, measured and counted, and then all is gone."""
    figures = tmp_path / "figures.json"
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks.pipelines", "--quick", "--json", str(figures)],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    found = {each["name"]: each["sides"] for each in json.loads(figures.read_text())["scenarios"]}
    assert found["random"].keys() == {"raw", "datamcp, PostgreSQL"}
    assert found["tables"].keys() == {"DuckDB alone", "datamcp, PostgreSQL"}
    assert "datamcp, PostgreSQL, gated" in found["chain"]
    assert all(side["values"] for sides in found.values() for side in sides.values())
    assert found["chain"]["datamcp, PostgreSQL"]["requests"]["commits"] >= 2
    n_shape = found["n-shape"]
    assert n_shape["datamcp, PostgreSQL"]["values"]["d"][0] < 0.9  # of the second that a takes
    assert n_shape["raw, level by level"]["values"]["d"][0] > 1.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.json"]
