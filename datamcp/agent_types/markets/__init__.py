"""What the trading agent computes: pure functions over price series.

`missing` is what stands for a value that can't be told. `series` checks what callers give; `rolling`
slides windows over it. `indicators` and `drawdown` have the definitions. `panel` computes all
indicators, `quote` shows rows, `lookback` finds them by the calendar, and `analysis` says what a
series looks like. `rules` call a buy or a sell, `signals` puts together what they called, and
`backtest` tells what following them would have returned. `performance` and `tail` define returns
and losses, and `risk` assesses them. `table`, which is not pure, reads prices and writes results.
"""
