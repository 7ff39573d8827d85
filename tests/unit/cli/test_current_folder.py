import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from datamcp.cli.tree import tree

_AGENT = """\
from datamcp import BaseAgent, capability


class Bench(BaseAgent):
    agent_type = "bench_here"

    @capability
    def add(self, a: int, b: int = 0) -> int:
        return a + b
"""


def test_an_agent_in_the_current_folder_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script imports agents from where it is run, as `celery -A datamcp` does."""
    (tmp_path / "bench_here.py").write_text(_AGENT)
    monkeypatch.setattr(sys, "path", list(sys.path))
    arguments = ["--set", "agents.bench_here.module=bench_here:Bench", "check", "--json"]

    findings = json.loads(CliRunner().invoke(tree, arguments).stdout)

    assert {"name": "agent bench_here", "level": "ok", "message": "add", "exit_code": 0} in findings
