"""Reading: passages that answer a question, summaries, and what a report says of both. Pure.

`results` is what searching and summarizing give back.
"""
