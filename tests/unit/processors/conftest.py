from pathlib import Path

import pytest
from support.steps import StepRunner


@pytest.fixture
def runner(tmp_path: Path) -> StepRunner:
    """Return what runs processors by hand; `tmp_path` is the one allowed root."""
    return StepRunner(tmp_path)
