"""The product's own agents.

`research` finds passages, summarizes, and writes reports; `reading` is how it does so.
`trading` analyses price series, finds signals in them and assesses their risk; `markets` is how.
"""
