"""The product's own agents.

`research` finds passages, summarizes, and writes reports; `reading` is how it does so.
`markets` is what the trading agent computes.
"""
