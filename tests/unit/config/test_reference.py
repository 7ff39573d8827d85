from pathlib import Path

from datamcp.config.fields import settings
from datamcp.config.reference import page

_PAGE = Path(__file__).parents[3] / "docs" / "reference" / "configuration.md"


def test_the_page_is_in_step_with_the_models() -> None:
    """`python -m datamcp.config.reference` was run after the last change of a setting."""
    assert _PAGE.read_text(encoding="utf-8") == page()


def test_the_page_names_every_setting() -> None:
    """No setting goes undocumented."""
    assert [setting.name for setting in settings() if f"`{setting.name}`" not in page()] == []
