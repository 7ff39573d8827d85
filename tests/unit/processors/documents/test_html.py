"""HTML as blocks: what a reader sees of a page, and nothing of what surrounds it."""

import sys

import pytest

from datamcp.errors import ProcessingError
from datamcp.processors.documents.html import declared_encoding, parse

PAGE = """<!DOCTYPE html>
<html><head><title> The  page </title><meta name="author" content="Someone">
<style>p { color: red }</style><script>alert("no")</script></head>
<body><nav>Home</nav><header><h1>Oil &amp; gas</h1></header>
<p>It <b>rose</b>
in <a href="javascript:x">2008</a>.</p>
<ul><li>one</li><li>two <em>more</em></li></ul>
<table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td>2</td></tr></table>
<pre>x = 1
  y</pre>
<h2>Part</h2>bare text<br>goes on
<div hidden>secret</div><div role="navigation">menu</div><aside>ads</aside>
<!-- comment --><footer>Copyright</footer></body></html>"""


def test_a_page_is_what_its_reader_sees() -> None:
    """Scripts, styles, comments, navigation and hidden parts are left out."""
    found = [(block.kind.value, block.text, block.line) for block in parse(PAGE).blocks]
    assert found == [
        ("heading", "Oil & gas", 4),
        ("paragraph", "It rose\nin 2008.", 5),
        ("item", "one", 7),
        ("item", "two more", 7),
        ("table", "A | B", 8),
        ("table", "1 | 2", 8),
        ("code", "x = 1\n  y", 9),
        ("heading", "Part", 11),
        ("paragraph", "bare text goes on", 11),
    ]


def test_lines_are_those_of_the_source() -> None:
    """A sentence in the middle of a paragraph can be found in its line."""
    blocks = parse("<body>\n<p>\n\n One\ntwo. <b>Three\n</b>four.</p>\n\ntext").blocks
    assert [(block.text, block.line) for block in blocks] == [
        ("One\ntwo. Three\nfour.", 4),
        ("text", 8),
    ]


def test_title_and_metadata_are_those_of_the_head() -> None:
    """Without a title, the first heading is one."""
    parsed = parse(PAGE)
    assert parsed.title == "The page"
    assert parsed.metadata == {"author": "Someone"}
    assert parse("<h2>Part</h2><p>text").title == "Part"


def test_the_declared_encoding_is_found() -> None:
    """In either of the two ways to declare it."""
    assert declared_encoding(b'<meta charset="iso-8859-15">') == "iso-8859-15"
    assert declared_encoding(b'<meta content="text/html; charset=koi8-r">') == "koi8-r"
    assert declared_encoding(b"<p>text") is None


@pytest.mark.parametrize(
    "text",
    ["", "plain", "<", "</p>", "<p", "<![CDATA[x", "<?xml version='1.0'?><html><p>a", "a.html"],
)
def test_what_is_hardly_html_is_read_without_a_warning(text: str) -> None:
    """A text, half a tag or a declaration of XML is no reason to fail or to warn."""
    assert len(parse(text).blocks) <= 1


def test_deep_nesting_is_no_trouble() -> None:
    """Ten thousand elements inside of each other are read."""
    text = "<div>" * 10_000 + "deep" + "</div>" * 10_000
    assert [block.text for block in parse(text).blocks] == ["deep"]


def test_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the reason names it."""
    monkeypatch.setitem(sys.modules, "bs4", None)
    with pytest.raises(ProcessingError, match=r"pip install 'datamcp\[documents\]'"):
        parse("<p>text")
