"""The safe language of a step's `when`; Python's interpreter never sees its text.

- `names`: what an expression may name, and how far a name in its text goes
- `lexer`: the text as tokens
- `parser`: the tokens as instructions for a stack
- `operations`: what operators and functions do with JSON values
- `expression`: an expression that was understood, and its value
"""
