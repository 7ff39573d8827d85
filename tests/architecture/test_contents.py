import ast
import re

import pytest
from support.source import Module, modules, public_definitions

_FOLDERS = [module for module in modules() if module.is_package]

# The root shows names and not modules; the others hold versions and data.
_WITHOUT_CONTENTS = {
    "datamcp",
    "datamcp.agent_types",
    "datamcp.infra.migrations",
    "datamcp.infra.migrations.versions",
}


@pytest.mark.parametrize(
    "folder",
    [folder for folder in _FOLDERS if folder.name not in _WITHOUT_CONTENTS],
    ids=lambda folder: folder.name,
)
def test_a_folder_begins_with_its_table_of_contents(folder: Module) -> None:
    """The docstring of a folder names each of its modules."""
    named = set(re.findall(r"`(\w+)`", folder.docstring))
    assert [part for part in folder.parts() if part not in named] == []


def test_the_product_s_agents_are_named() -> None:
    """The docstring of `agent_types` names each agent."""
    folder = next(folder for folder in _FOLDERS if folder.name == "datamcp.agent_types")
    assert [part for part in folder.parts() if f"`{part}`" not in folder.docstring] == []


def test_everything_public_says_what_it_is_for() -> None:
    """Every public module, class, function and method has a docstring."""
    silent = [module.name for module in modules() if not module.docstring]
    silent += [
        f"{module.name}.{name}"
        for module in modules()
        for name, node in public_definitions(module.tree.body)
        if not (ast.get_docstring(node) or _says_why_not(module, node) or _is_overload(node))
    ]
    assert silent == []


def _says_why_not(module: Module, node: ast.AST) -> bool:
    """Tell whether a definition is excused: a method of Celery's, whose documentation holds."""
    line = module.text.splitlines()[node.lineno - 1]  # type: ignore[attr-defined]
    return bool(re.search(r"# noqa: D102\b.*  Celery's", line))


def _is_overload(node: ast.AST) -> bool:
    decorators = getattr(node, "decorator_list", [])
    return any(isinstance(one, ast.Name) and one.id == "overload" for one in decorators)
