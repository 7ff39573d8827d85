"""Documents: text, Markdown, HTML and PDF files as titles, headings and paragraphs.

`document` is what a document is once it has been read. `decode` turns bytes into text; `lines`
tells what a line of text may be. One module reads each format: `plain`, `markdown` (with its
`inline` markup), `html` and `pdf`. `reader` picks the format and reads one file; `folder` reads all
files below a folder, within limits, and says of every other file why it was not read; `pattern`
chooses among them. `sentences` tells where a text may be cut, and `split` cuts it in pieces.
"""
