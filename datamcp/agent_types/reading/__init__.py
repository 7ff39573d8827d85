"""Reading: passages that answer a question, summaries, and reports that cite them. Pure.

Words: `language` tells which one a text is in, `forms` and `thesaurus` which words mean the same,
`words` what a text consists of. Structure: the `passages` of a document.

Searching: `question` is what is asked, `matching` which words of a text stand for it, `index` what
documents have of it, `spelling` what it may have meant. `bm25` is the function; `evidence` weighs
sentences, `ranking` orders passages, `diversity` chooses among them, `search` does all of it.

Summarizing: `centrality` tells which sentences say most, `summary` chooses, `digest` does so for
documents, and `hits` makes documents of what a search has found.

Reporting: `markup` escapes, `facts` shows values, `selection` chosen parts of one, `citations`
numbers sources, `report` puts it together. `results` is what searching and summarizing give back.
"""
