"""The product's own agents.

`research` finds passages, summarizes, and writes reports; `library` reads its documents, and
`reading` is how it finds, summarizes and writes.
`trading` analyses price series, finds signals in them and assesses their risk; `markets` is how.
"""
