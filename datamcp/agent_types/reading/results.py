"""What searching and summarizing give back: values with a JSON form, so that steps can pass them.

A `source` is the path of a document relative to the folder that was read, with `/` between its
parts. Lines and pages are counted from 1; a document has lines or, as PDF, pages.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt, PositiveInt


class _Result(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SkippedFile(_Result):
    """A file that was not read, and why."""

    source: str
    reason: str


class HitSentence(_Result):
    """A sentence of a hit that answers the query, or comes close."""

    text: str
    line: PositiveInt | None = None
    page: PositiveInt | None = None


class Hit(_Result):
    """A passage that matches a query.

    `score` compares the hits of one search, and means nothing beside those of another. `heading`
    holds the headings above the passage, from the outermost one, joined with ` > `. `matched` lists
    the words of the passage that match the query. `sentences` are the best ones in reading order;
    `answer` is the best one alone.
    """

    rank: PositiveInt
    score: NonNegativeFloat
    source: str
    title: str
    heading: str = ""
    first_line: PositiveInt | None = None
    last_line: PositiveInt | None = None
    page: PositiveInt | None = None
    passage: str
    matched: tuple[str, ...] = ()
    sentences: tuple[HitSentence, ...] = ()
    answer: str = ""


class SearchResult(_Result):
    """The passages of a folder's documents that match a query, the best one first.

    `documents` and `passages` count what was read. `skipped` lists every file that was not, and
    `warnings` what may be wrong with what was.
    """

    kind: Literal["search"] = "search"
    query: str
    folder: str
    documents: NonNegativeInt
    passages: NonNegativeInt
    hits: tuple[Hit, ...] = ()
    skipped: tuple[SkippedFile, ...] = ()
    warnings: tuple[str, ...] = ()


class SummarySentence(_Result):
    """A sentence of a summary, word for word as its source has it; `score` is from 0 to 1."""

    text: str
    source: str
    title: str
    heading: str = ""
    line: PositiveInt | None = None
    page: PositiveInt | None = None
    score: NonNegativeFloat = 0.0


class SummarySource(_Result):
    """A document that a summary was made of; `is_cited` tells whether it has a sentence in it."""

    source: str
    title: str
    is_cited: bool


class Summary(_Result):
    """The sentences that say most of what some documents say, in reading order.

    `text` has all of them in one. `folder` is where the sources are, empty for a plain text.
    """

    kind: Literal["summary"] = "summary"
    query: str = ""
    folder: str = ""
    text: str
    sentences: tuple[SummarySentence, ...] = ()
    sources: tuple[SummarySource, ...] = ()
    documents: NonNegativeInt = 0
    skipped: tuple[SkippedFile, ...] = ()
    warnings: tuple[str, ...] = ()
