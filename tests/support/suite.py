"""A test suite of a user's own, run as a user runs it: in a process and a folder of its own."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from xml.etree import ElementTree as ET

from datamcp.config.text import child_environment

_STRICT = """
[pytest]
addopts = --strict-config --strict-markers -p no:cacheprovider -p no:randomly
filterwarnings =
    error
    ignore:Call to deprecated:DeprecationWarning:(celery|kombu)
"""

SHOP = '''
"""A shop's agent."""

from pathlib import Path

from datamcp import BaseAgent, capability


class Shop(BaseAgent):
    """Sells things."""

    agent_type = "shop"

    @capability
    def price(self, count: int, each: int = 3) -> int:
        """Return what some things cost."""
        return count * each

    @capability
    def total(self, prices: list[int]) -> int:
        """Add prices up."""
        return sum(prices)

    @capability
    async def label(self, name: str) -> str:
        """Return a label."""
        return name.upper()

    @capability
    def step(self) -> str | None:
        """Return the step that this is."""
        return self.context.step_id

    @capability
    def sell_out(self) -> None:
        """Fail."""
        raise LookupError("nothing left")
'''

CONFTEST = """
import pytest
from shop import Shop

pytest_plugins = ["datamcp.testing.fixtures"]


@pytest.fixture
def datamcp_agents():
    return [Shop]
"""


@dataclass(frozen=True)
class Outcome:
    """How one test of a suite ended: `passed`, `failed`, `error` or `skipped`; and what it said."""

    state: str
    message: str = ""
    text: str = ""


@dataclass(frozen=True)
class Ran:
    """How each test of a suite ended, and all that was written."""

    tests: Mapping[tuple[str, str], Outcome]  # by module and name
    output: str

    def of(self, module: str) -> dict[str, Outcome]:
        """Return the tests of a module, by name."""
        found = {name: outcome for (file, name), outcome in self.tests.items() if file == module}
        assert found, self.output
        return found


@dataclass
class Suite:
    """A folder with a project: an agent, a conftest, and tests."""

    folder: Path
    files: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Write what every such project has."""
        self.write("pytest.ini", _STRICT)
        self.write("shop.py", SHOP)
        self.write("conftest.py", CONFTEST)

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip(), encoding="utf-8")

    def run(self, *options: str, timeout: float = 180.0, **settings: str) -> Ran:
        """Run pytest in the folder; `settings` are variables of the environment."""
        report = self.folder / "report.xml"
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", f"--junitxml={report}", *options],
            cwd=self.folder,
            env={**child_environment({}), **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert report.exists(), ran.stdout
        cases = ET.parse(report).getroot().iter("testcase")  # noqa: S314  our own file
        outcomes = {
            (case.attrib["classname"], case.attrib["name"]): _outcome(case) for case in cases
        }
        return Ran(outcomes, ran.stdout)


def _outcome(case: ET.Element) -> Outcome:
    for state in ("failure", "error", "skipped"):
        found = case.find(state)
        if found is not None:
            name = "failed" if state == "failure" else state
            return Outcome(name, found.attrib.get("message", ""), found.text or "")
    return Outcome("passed")
