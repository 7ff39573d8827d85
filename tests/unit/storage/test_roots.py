from dataclasses import dataclass
from pathlib import Path

import pytest

from datamcp.errors import ProcessingError
from datamcp.storage.roots import PACKAGE_ROOT, AllowedRoots


@dataclass(frozen=True)
class Bundle:
    """Two roots and the folder around them, with a file in each."""

    roots: AllowedRoots
    first: Path
    second: Path
    around: Path


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Return fresh roots."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second, tmp_path):
        folder.mkdir(exist_ok=True)
        (folder / f"{folder.name}.csv").touch()
    (second / "deep").mkdir()
    return Bundle(AllowedRoots([first, str(second)]), first, second, tmp_path)


def test_relative_path_is_looked_for_in_order(bundle: Bundle) -> None:
    """The first root that has the file gives it."""
    (bundle.second / "both.csv").touch()
    assert bundle.roots.resolve("both.csv") == bundle.second / "both.csv"
    (bundle.first / "both.csv").touch()
    assert bundle.roots.resolve("both.csv") == bundle.first / "both.csv"


def test_absolute_path_and_url_inside_a_root(bundle: Bundle) -> None:
    """An absolute path or file URL is fine where it lies inside a root."""
    file = bundle.second / "second.csv"
    assert bundle.roots.resolve(str(file)) == file
    assert bundle.roots.resolve(f"file://{file}") == file


def test_shipped_data_is_found_last(bundle: Bundle) -> None:
    """The packaged input is found without being configured, and a root's own file hides it."""
    name = "data/airlines.csv"
    assert bundle.roots.resolve(name) == PACKAGE_ROOT / name
    (bundle.first / "data").mkdir()
    (bundle.first / name).touch()
    assert bundle.roots.resolve(name) == bundle.first / name


def test_places_outside_are_refused(bundle: Bundle) -> None:
    """Absolute paths, `..` and links that lead out are refused by name, with the setting's."""
    outside = bundle.around / f"{bundle.around.name}.csv"
    (bundle.first / "link.csv").symlink_to(outside)
    (bundle.first / "linked").symlink_to(bundle.around)
    (bundle.first / "dangling.csv").symlink_to(bundle.around / "later.csv")
    for path in (
        str(outside),
        "/etc/passwd",
        "/no/such/file",
        f"../{outside.name}",
        "link.csv",
        f"linked/{outside.name}",
        "../first-evil/x.csv",
    ):
        with pytest.raises(ProcessingError, match=r"outside of storage\.allowed_roots") as caught:
            bundle.roots.resolve(path)
        assert repr(path) in str(caught.value)
    with pytest.raises(ProcessingError):
        bundle.roots.resolve("dangling.csv")


def test_missing_file_says_where_it_was_looked_for(bundle: Bundle) -> None:
    """A missing file is named with the roots; a folder is no file."""
    with pytest.raises(ProcessingError, match=f"no file 'no.csv'; looked in {bundle.first}, "):
        bundle.roots.resolve("no.csv")
    with pytest.raises(ProcessingError, match="no file 'deep'"):
        bundle.roots.resolve("deep")
    with pytest.raises(ProcessingError, match=r"no file '.*/first/no\.csv'$"):
        bundle.roots.resolve(str(bundle.first / "no.csv"))


def test_unusable_paths(bundle: Bundle) -> None:
    """Other schemes, empty paths and loops of links are one clear line each."""
    (bundle.first / "loop").symlink_to(bundle.first / "loop")
    for path in ("s3://bucket/x.csv", "", "loop", "x" * 5000):
        with pytest.raises(ProcessingError):
            bundle.roots.resolve(path)


def test_destination_lies_inside_a_root(bundle: Bundle) -> None:
    """A file may be written inside a root only, and never into the package or over a folder."""
    new = bundle.first / "new" / "out.csv"
    assert bundle.roots.destination(str(new)) == new
    for path in (bundle.around / "x.csv", PACKAGE_ROOT / "data" / "x.csv", bundle.second / "deep"):
        with pytest.raises(ProcessingError):
            bundle.roots.destination(str(path))


def test_no_roots_at_all() -> None:
    """Without roots the shipped data is all that can be read."""
    roots = AllowedRoots([])
    assert roots.resolve("data/airlines.csv").is_file()
    with pytest.raises(ProcessingError, match="none are set"):
        roots.resolve("/etc/passwd")


def test_find_knows_folders_and_artifacts(bundle: Bundle) -> None:
    """What a capability asks for may be a folder, or an artifact of a run; nothing else outside."""
    roots = AllowedRoots([bundle.first], artifacts=bundle.second)
    assert roots.find(str(bundle.second / "deep")) == bundle.second / "deep"
    assert roots.find("first.csv") == bundle.first / "first.csv"
    with pytest.raises(ProcessingError, match="is outside of"):
        roots.find(str(bundle.around))
    assert roots.resolve(str(bundle.second / "second.csv")) == bundle.second / "second.csv"
    with pytest.raises(ProcessingError, match="is outside of"):
        roots.destination(str(bundle.second / "second.csv"))
    with pytest.raises(ProcessingError, match="no file or folder 'nowhere'"):
        roots.find("nowhere")
