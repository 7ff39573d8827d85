import pkgutil
import subprocess
import sys
from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

import datamcp.processors
from datamcp.processors.engine import identifier, literal, one_line

TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20)


def test_importing_processors_loads_no_engine() -> None:
    """No module of processors imports an engine: a worker's parent must not, before it forks."""
    found = pkgutil.iter_modules(datamcp.processors.__path__, "datamcp.processors.")
    names = sorted(module.name for module in found)
    code = "\n".join(
        [
            *(f"import {name}" for name in names),
            "import sys",
            "print([m for m in ('duckdb', '_duckdb', 'pandas', 'numpy', 'pyarrow')",
            "       if m in sys.modules])",
        ]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "datamcp.processors.sql_transform" in names
    assert done.stdout == "[]\n"


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    """Return one engine for all examples."""
    with duckdb.connect() as connection:
        yield connection


@given(TEXTS)
def test_literal_gives_the_text_back(engine: duckdb.DuckDBPyConnection, text: str) -> None:
    """Any text is a string to the engine, and no SQL."""
    assert engine.execute(f"select {literal(text)}").fetchone() == (text,)


@given(TEXTS.filter(bool))
def test_identifier_gives_the_name_back(engine: duckdb.DuckDBPyConnection, name: str) -> None:
    """Any text is a name to the engine, and no SQL."""
    cursor = engine.execute(f"select 1 as {identifier(name)}")
    assert [column[0] for column in cursor.description] == [name]


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            "Binder Error: no\nCandidates: a\n\nLINE 2: select\n   ^",
            "Binder Error: no Candidates: a (line 2)",
        ),
        ("IO Error: gone", "IO Error: gone"),
        ("", ""),
    ],
)
def test_one_line(message: str, line: str) -> None:
    """The picture of the statement goes, its line number stays."""
    assert one_line(message) == line
