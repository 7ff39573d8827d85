"""The text of a report: sections, citations, sources."""

from markdown_it import MarkdownIt

from datamcp.agent_types.reading.report import ReportText, Source, as_result, path_of
from datamcp.agent_types.reading.results import (
    Hit,
    HitSentence,
    SearchResult,
    Summary,
    SummarySentence,
    SummarySource,
)
from datamcp.types import JSONObject

_EVIL = "# Owned\n\n[click](http://evil.example) <script>x</script> ![i](http://e/x.png) www.e.com"


def found(*hits: Hit, query: str = "oil") -> JSONObject:
    """Return what a search step leaves behind."""
    result = SearchResult(query=query, folder="docs", documents=3, passages=9, hits=hits)
    return result.model_dump(mode="json")


def hit(source: str, *sentences: str, title: str = "T", heading: str = "") -> Hit:
    """Return a hit in lines 3 to 5."""
    return Hit(
        rank=1,
        score=1,
        source=source,
        title=title,
        heading=heading,
        first_line=3,
        last_line=5,
        passage=" ".join(sentences),
        sentences=tuple(HitSentence(text=text) for text in sentences),
    )


def summary(*sentences: tuple[str, str, int]) -> JSONObject:
    """Return what a summary step leaves behind: texts with their sources and lines."""
    told = tuple(
        SummarySentence(text=text, source=source, title="T", line=line)
        for text, source, line in sentences
    )
    sources = tuple(SummarySource(source=one.source, title="T", is_cited=True) for one in told)
    result = Summary(folder="docs", text="…", sentences=told, sources=sources)
    return result.model_dump(mode="json")


def test_each_source_is_cited_by_one_number_and_listed_once() -> None:
    """In the order of first citation, with every place that was cited."""
    report = ReportText("Oil")
    report.add(
        "Summary", "", report.value(summary(("It fell.", "b.md", 9), ("Why.", "a.md", 1)), 9)
    )
    report.add("Found", "Text.", report.value(found(hit("a.md", "One.", "Two.", heading="H")), 9))
    assert report.finished([Source("WTI", "data/wti.csv", "https://eia.example/x", "Daily.")]) == (
        "# Oil\n\n"
        "## Summary\n\nIt fell. [1] Why. [2]\n\n"
        "## Found\n\nText.\n\nFound for “oil”:\n\n**T**, H [2]\n\n> One. … Two.\n\n"
        "## Sources\n\n1. T: docs/b.md, line 9\n2. T: docs/a.md, lines 1, 3-5\n\n"
        "- WTI: data/wti.csv, <https://eia.example/x>. Daily.\n"
    )


def test_a_report_without_citations_has_no_sources() -> None:
    """As those of tables alone."""
    report = ReportText("T")
    report.add("H", "", report.value({"a": 1}, 9))
    assert "Sources" not in report.finished()


def test_only_so_many_hits_are_shown() -> None:
    """And only they are cited."""
    report = ReportText("T")
    report.add("H", "", report.value(found(hit("a.md", "One."), hit("b.md", "Two.")), 1))
    assert "b.md" not in report.finished()


def test_a_search_that_found_nothing_says_so() -> None:
    """With the number of documents that were looked at."""
    assert ReportText("T").value(found(), 5)[2] == "Nothing in 3 documents."
    assert ReportText("T").value(summary(), 5)[0] == "Nothing to summarize."


def test_what_documents_say_stays_text() -> None:
    """No title, heading, passage, sentence, path, query or value makes a heading, link or HTML."""
    evil = hit(f"{_EVIL}.md", _EVIL, title=_EVIL, heading=_EVIL)
    report = ReportText(_EVIL)
    report.add(_EVIL, "", report.value(found(evil, query=_EVIL), 9))
    report.add("S", "", report.value(summary((_EVIL, _EVIL, 1), ("1. x", "a.md", 2)), 9))
    report.add("V", "", report.value({_EVIL: _EVIL, "list": [{_EVIL: _EVIL}]}, 9))
    text = report.finished([Source(_EVIL, _EVIL, "javascript:alert(1)", _EVIL)])

    parser = MarkdownIt("commonmark").enable("table")
    tokens = [inner for token in parser.parse(text) for inner in (token, *(token.children or []))]
    kinds = [token.type for token in tokens]
    assert not {"link_open", "image", "html_block", "html_inline", "code_block"} & set(kinds)
    headings = [t.content for at, t in enumerate(tokens) if at and kinds[at - 1] == "heading_open"]
    assert len(headings) == 5  # the title, three sections, the sources
    assert headings[2:] == ["S", "V", "Sources"]


def test_a_value_that_only_looks_like_a_result_is_shown_as_facts() -> None:
    """What a search gave back is told from its kind, and checked."""
    assert as_result({"kind": "search", "hits": 3}) is None
    assert as_result({"kind": "signal"}) is None
    assert as_result([1]) is None
    assert ReportText("T").value({"kind": "search"}, 5)[0] == "| fact | value |"


def test_paths_are_those_of_the_folder() -> None:
    """Without a folder, the source is its own path."""
    assert path_of("docs/", "a/b.md") == "docs/a/b.md"
    assert path_of("", "x/y.md") == "x/y.md"
