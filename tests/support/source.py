"""The library's own source, as the tests of its architecture look at it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import datamcp

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = Path(datamcp.__file__).parent

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One module of the library."""

    name: str
    path: Path

    @cached_property
    def text(self) -> str:
        """What stands in its file."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.text)

    @property
    def docstring(self) -> str:
        """Its docstring, or nothing."""
        return ast.get_docstring(self.tree) or ""

    @property
    def is_package(self) -> bool:
        """Whether it is the `__init__` of a folder."""
        return self.path.name == "__init__.py"

    def parts(self) -> list[str]:
        """Return the names of the modules in a folder, without those that are hidden."""
        files = [path.stem for path in self.path.parent.glob("*.py") if path.stem != "__init__"]
        folders = [path.parent.name for path in self.path.parent.glob("*/__init__.py")]
        return sorted(name for name in files + folders if not name.startswith("_"))


@cache
def modules() -> tuple[Module, ...]:
    """Return every module of the library, by name."""
    found = (Module(_name(path), path) for path in PACKAGE.rglob("*.py"))
    return tuple(sorted(found, key=lambda module: module.name))


def public_definitions(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Definition]]:
    """Yield every public class, function and method below a body, by its dotted name."""
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield f"{prefix}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node.body, f"{prefix}{node.name}.")


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
