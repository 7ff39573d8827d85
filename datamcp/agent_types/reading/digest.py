"""Summarizes documents: their sentences, with how well they answer a question, and the choice. Pure."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from datamcp.agent_types.reading.index import indexed
from datamcp.agent_types.reading.language import language_of
from datamcp.agent_types.reading.passages import passages
from datamcp.agent_types.reading.question import understood
from datamcp.agent_types.reading.ranking import ranked
from datamcp.agent_types.reading.results import SummarySentence, SummarySource
from datamcp.agent_types.reading.search import heading
from datamcp.agent_types.reading.summary import Picked, Told, summarized
from datamcp.processors.documents.document import Document

_SAMPLE_BLOCKS = 20
_BEST_PASSAGES = 60  # that a summary for a question is made of

Watched = Callable[[Iterable[Document]], Iterable[Document]]


@dataclass(frozen=True, slots=True)
class Digest:
    """The sentences of a summary, in reading order, and the documents it was made of."""

    sentences: tuple[SummarySentence, ...]
    sources: tuple[SummarySource, ...]


def digest(
    documents: Sequence[Document],
    count: int,
    query: str = "",
    *,
    watched: Watched = lambda documents: documents,
) -> Digest:
    """Choose at most `count` sentences of some documents; those that answer `query`, if there is one.

    `watched` is wrapped around the documents while they are looked through. Without any document
    that has something of the question, the summary is one of them all.
    """
    told = list(_relevant(documents, query, watched)) if query else []
    has_question = bool(told)
    picked = summarized(told or list(_all(watched(documents))), count, has_question=has_question)
    cited = {one.told.order[0] for one in picked}
    return Digest(
        sentences=tuple(_sentence(documents[one.told.order[0]], one) for one in picked),
        sources=tuple(
            SummarySource(source=document.source, title=document.title, is_cited=number in cited)
            for number, document in enumerate(documents)
        ),
    )


def _all(documents: Iterable[Document]) -> Iterator[Told]:
    for text, document in enumerate(documents):
        language = language_of("\n".join(block.text for block in document.blocks[:_SAMPLE_BLOCKS]))
        parts = [(one.headings, list(one.sentences())) for one in passages(document)]
        for passage, (headings, sentences) in enumerate(parts):
            for number, sentence in enumerate(sentences):
                position = (passage + number / len(sentences)) / len(parts)
                yield Told((text, passage, number), sentence, language, headings, position)


def _relevant(documents: Sequence[Document], query: str, watched: Watched) -> Iterator[Told]:
    """Yield the sentences of the passages that answer best, those without anything of it left out."""
    index = indexed(understood(query), watched(documents))
    found = ranked(index)[:_BEST_PASSAGES]
    best = found[0].score if found else 1.0
    for one in found:
        text, passage = one.candidate.place
        for weighed in one.sentences:
            if weighed.score > 0:
                yield Told(
                    (text, passage, weighed.number),
                    weighed.sentence,
                    one.candidate.entry.language,
                    one.candidate.passage.headings,
                    relevance=weighed.score * one.score / best,
                )


def _sentence(document: Document, picked: Picked) -> SummarySentence:
    told = picked.told
    return SummarySentence(
        text=told.sentence.text,
        source=document.source,
        title=document.title,
        heading=heading(told.headings, document.title),
        line=told.sentence.line,
        page=told.sentence.page,
        score=picked.score,
    )
