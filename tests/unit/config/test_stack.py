import json
import os
import subprocess
from pathlib import Path

import pytest

from datamcp.config.stack import STACK_FILE, read_stack


def write(folder: Path, content: object) -> None:
    """Leave a record as a stack does."""
    (folder / STACK_FILE).write_text(json.dumps(content))


def test_a_running_stack_gives_its_addresses(tmp_path: Path) -> None:
    """Broker, database and cache are taken; whatever else is in the record is left alone."""
    urls = {"broker_url": "redis://b", "database_url": "sqlite:///d", "cache_url": "redis://c"}
    write(tmp_path, {**urls, "pid": os.getpid(), "other": 1})
    layer, warnings = read_stack(tmp_path, "stack.json")
    assert warnings == []
    assert layer.tree() == {
        "broker": {"url": "redis://b"},
        "storage": {"database_url": "sqlite:///d", "cache_url": "redis://c"},
    }
    assert str(layer.entries[0].origin) == "running stack (stack.json)"


def test_a_stack_whose_process_is_gone_says_nothing(tmp_path: Path) -> None:
    """A record that was left behind by a crash does not count."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    write(tmp_path, {"broker_url": "redis://b", "pid": process.pid})
    assert read_stack(tmp_path, "x")[0].entries == ()


@pytest.mark.parametrize("pid", [None, "1", True, 0, -1, 2**80])
def test_a_record_without_a_process_id_says_nothing(tmp_path: Path, pid: object) -> None:
    """Only a live process vouches for its record."""
    write(tmp_path, {"broker_url": "redis://b", "pid": pid})
    assert read_stack(tmp_path, "x")[0].entries == ()


def test_no_record_is_no_stack(tmp_path: Path) -> None:
    """Without a file, or without the folder, nothing runs."""
    layer, warnings = read_stack(tmp_path / "gone", "x")
    assert (layer.entries, warnings) == ((), [])


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 60_000])
def test_a_broken_record_is_ignored_with_a_warning(tmp_path: Path, content: str) -> None:
    """A record that cannot be read stops nothing."""
    (tmp_path / STACK_FILE).write_text(content)
    layer, warnings = read_stack(tmp_path, "x/stack.json")
    assert layer.entries == ()
    assert "x/stack.json" in warnings[0].message
