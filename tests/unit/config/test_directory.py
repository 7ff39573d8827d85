from pathlib import Path

import pytest

from datamcp.config.directory import absolute, extra_file, find_directory, shown
from datamcp.errors import ConfigError


def test_the_variable_comes_first(tmp_path: Path) -> None:
    """`DATAMCP_CONFIG_DIR` is taken even where `./config` would do; it may be relative."""
    for name in ("config", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "base.yaml").touch()
    assert find_directory({"DATAMCP_CONFIG_DIR": "mine"}, tmp_path) == tmp_path / "mine"
    assert find_directory({}, tmp_path) == tmp_path / "config"


def test_a_folder_without_a_base_file_is_refused(tmp_path: Path) -> None:
    """A folder that was named on purpose must hold the base file."""
    with pytest.raises(ConfigError, match=r"DATAMCP_CONFIG_DIR=nowhere .* base\.yaml"):
        find_directory({"DATAMCP_CONFIG_DIR": "nowhere"}, tmp_path)


def test_the_shipped_files_are_found_from_anywhere(tmp_path: Path) -> None:
    """A `config` folder that is somebody else's is passed over."""
    (tmp_path / "config").mkdir()
    directory = find_directory({}, tmp_path)
    assert (directory / "base.yaml").is_file()
    assert shown(directory / "base.yaml", tmp_path).endswith("config/base.yaml")


def test_one_more_file_may_be_named(tmp_path: Path) -> None:
    """`DATAMCP_CONFIG` is a path from the current folder; empty means none."""
    assert extra_file({"DATAMCP_CONFIG": "my.yaml"}, tmp_path) == tmp_path / "my.yaml"
    assert extra_file({"DATAMCP_CONFIG": ""}, tmp_path) is None


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` is expanded, and left alone where there is no such user."""
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert absolute("~/x", tmp_path) == tmp_path / "me" / "x"
    assert absolute("~no-such-user/x", tmp_path) == tmp_path / "~no-such-user/x"
