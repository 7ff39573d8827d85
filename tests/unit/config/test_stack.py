import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from datamcp.config.stack import STACK_FILE, is_running, read_stack
from datamcp.stack.lock import sole_stack


def write(folder: Path, content: object) -> None:
    """Leave a record as a stack does."""
    (folder / STACK_FILE).write_text(json.dumps(content))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    """Have a folder that a stack holds."""
    with sole_stack(tmp_path):
        yield tmp_path


def test_a_running_stack_gives_its_addresses(running: Path) -> None:
    """Broker, database and cache are taken; whatever else is in the record is left alone."""
    urls = {"broker_url": "redis://b", "database_url": "sqlite:///d", "cache_url": "redis://c"}
    write(running, {**urls, "other": 1})
    layer, warnings = read_stack(running, "stack.json")
    assert warnings == []
    assert layer.tree() == {
        "broker": {"url": "redis://b"},
        "storage": {"database_url": "sqlite:///d", "cache_url": "redis://c"},
    }
    assert str(layer.entries[0].origin) == "running stack (stack.json)"


def test_a_stack_that_is_gone_says_nothing(tmp_path: Path) -> None:
    """A record that was left behind by a crash does not count, as nobody holds its lock."""
    with sole_stack(tmp_path):
        assert is_running(tmp_path)
    write(tmp_path, {"broker_url": "redis://b"})
    assert not is_running(tmp_path)
    assert read_stack(tmp_path, "x")[0].entries == ()


def test_a_stack_that_is_starting_says_nothing(running: Path) -> None:
    """It holds its lock, and has no record yet."""
    assert read_stack(running, "x") == (read_stack(running / "gone", "x")[0], [])


def test_no_folder_is_no_stack(tmp_path: Path) -> None:
    """Without the folder, nothing runs."""
    layer, warnings = read_stack(tmp_path / "gone", "x")
    assert (layer.entries, warnings) == ((), [])


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 60_000])
def test_a_broken_record_is_ignored_with_a_warning(running: Path, content: str) -> None:
    """A record that cannot be read stops nothing."""
    (running / STACK_FILE).write_text(content)
    layer, warnings = read_stack(running, "x/stack.json")
    assert layer.entries == ()
    assert "x/stack.json" in warnings[0].message
